// The compiled SIMD kernels of an instruction set: one module without a format, and one
// for each format.

import { MODULES } from "../../../kernels/wasm.ts";
import { bytesOfBase64 } from "../../base64.ts";
import type { Format } from "../../tensor/format.ts";
import type { InstructionSet } from "./instruction_set.ts";

/** Each module is compiled once a process, on first use. */
const compiled = new Map<string, Promise<WebAssembly.Module>>();

export class KernelModules {
  readonly #instructions: InstructionSet;

  constructor(instructions: InstructionSet) {
    this.#instructions = instructions;
  }

  /** The kernels without a format. */
  base(): Promise<WebAssembly.Module> {
    return this.#module("base");
  }

  /** @throws Error for a format without SIMD kernels */
  of({ name }: Format): Promise<WebAssembly.Module> {
    return this.#module(name);
  }

  #module(name: string): Promise<WebAssembly.Module> {
    const key = `${this.#instructions} ${name}`;
    const found = compiled.get(key);
    if (found) return found;
    const binaries: Readonly<Record<string, string>> = MODULES[this.#instructions];
    const text = binaries[name];
    if (text === undefined) throw new Error(`weights in ${name} have no SIMD kernels`);
    const module = WebAssembly.compile(bytesOfBase64(text));
    compiled.set(key, module);
    module.catch(() => compiled.delete(key)); // a later call may have enough memory
    return module;
  }
}
