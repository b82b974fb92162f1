// The compiled SIMD kernels in a memory of their own, so that a test can call one kernel on
// its own numbers.

import { MODULES } from "../../kernels/wasm.ts";
import { instructionSets } from "../../src/backend/cpu/instruction_set.ts";
import { enableWasmFeatures } from "../../src/backend/cpu/node_wasm.ts";
import type { Format } from "../../src/tensor/format.ts";

enableWasmFeatures();

export type Kernel = (...args: readonly number[]) => number;

export interface SimdBench {
  readonly name: keyof typeof MODULES;
  /** Those that know no format. */
  readonly kernels: Readonly<Record<string, Kernel>>;
  /** Those of a format. */
  of(format: Format): Readonly<Record<string, Kernel>>;
  /** Copies an array into the memory, 64-byte aligned. Returns its address. */
  put(data: Float32Array | Uint32Array | Uint16Array | Uint8Array | Int8Array): number;
  /** Says whether the engine makes 256 bits of two operations (kernels/lib/simd/wide.simd.ts). */
  setWide(wide: 0 | 1): unknown;
  /** Zeroed bytes. Returns their address. */
  room(bytes: number): number;
  floats(at: number, count: number): Float32Array;
  bytes(at: number, count: number): Uint8Array;
}

/** One bench for every instruction set that this engine supports. */
export function simdBenches(): SimdBench[] {
  return instructionSets().map((name) => {
    const memory = new WebAssembly.Memory({ initial: 1024, maximum: 65536, shared: true });
    const bound = (module: string): Readonly<Record<string, Kernel>> => {
      const binary = Uint8Array.from(Buffer.from(MODULES[name][module]!, "base64"));
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(binary), { env: { memory } });
      return exports as unknown as Record<string, Kernel>;
    };
    const kernels = bound("base");
    const formats = new Map<string, Readonly<Record<string, Kernel>>>();
    let used = kernels.scratchEnd!();
    const room = (bytes: number): number => {
      const at = Math.ceil(used / 64) * 64;
      used = at + bytes;
      return at;
    };
    return {
      name,
      kernels,
      of(format) {
        const found = formats.get(format.name) ?? bound(format.name);
        formats.set(format.name, found);
        return found;
      },
      room,
      setWide: (wide) => new Uint32Array(memory.buffer, kernels.wideAt!(), 1).fill(wide),
      put(data) {
        const at = room(data.byteLength);
        new Uint8Array(memory.buffer, at, data.byteLength).set(
          new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
        );
        return at;
      },
      floats: (at, count) => new Float32Array(memory.buffer, at, count).slice(),
      bytes: (at, count) => new Uint8Array(memory.buffer, at, count).slice(),
    };
  });
}
