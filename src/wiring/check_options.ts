// Whether the options of open() have values that they can have, before anything is opened.

import { PACKABLE } from "../../kernels/formats/index.ts";
import type { OpenOptions } from "../engine/api.ts";
import { RequestError } from "../errors.ts";

/** @throws RequestError naming the option */
export function checkOptions(options: OpenOptions): void {
  for (const name of ["context", "chunk", "threads", "gpuMemory", "ram", "expertSlots", "compileDeadline"] as const) {
    const value = options[name];
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1)) {
      throw new RequestError(`${name}: expected a whole number of at least 1, found ${String(value)}`);
    }
  }
  for (const name of ["ropeScale", "ropeTheta"] as const) {
    const value = options[name];
    if (value !== undefined && !(Number.isFinite(value) && value >= 1))
      throw new RequestError(`${name}: expected a number of at least 1, found ${String(value)}`);
  }
  for (const name of ["adapter", "tokenizer", "draft"] as const) {
    const value: unknown = options[name];
    if (value !== undefined && (typeof value !== "string" || value === ""))
      throw new RequestError(`${name}: expected a text, found ${value === "" ? "an empty one" : String(value)}`);
  }
  const choices = {
    backend: ["auto", "webgpu", "cpu"],
    weights: ["auto", ...PACKABLE],
    kv: ["f32", "f16", "q8"],
    activations: ["int8", "f32"],
    speculation: ["lookup", "off"],
    ropeScaling: ["none", "linear", "yarn"],
  } as const satisfies Partial<Record<keyof OpenOptions, readonly string[]>>;
  for (const name of ["backend", "weights", "kv", "activations", "speculation", "ropeScaling"] as const) {
    const value: string | undefined = options[name];
    if (value !== undefined && !(choices[name] as readonly string[]).includes(value)) {
      throw new RequestError(`${name}: expected one of ${choices[name].join(", ")}, found ${String(value)}`);
    }
  }
}
