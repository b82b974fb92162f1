// Enables WebAssembly features that this Node has behind a flag.

import { setFlagsFromString } from "node:v8";
import { setWide } from "./instruction_set.ts";

/**
 * Call it before the first kernel is compiled: flags apply to the process, but not to kernels that
 * are compiled already.
 */
export function enableWasmFeatures(): void {
  const [major = 0, minor = 0] = process.versions.v8.split(".").map(Number);
  // Only V8 11.3 (Node 20) has relaxed SIMD behind a flag.
  if (major === 11 && minor === 3) setFlagsFromString("--experimental-wasm-relaxed-simd");
  // From V8 14 (Node 26) on, pairs of 128-bit operations become one of 256 bits on x86 and prefill
  // is about twice as fast. V8 12 and 13 have the flag too, but 13.6 miscompiles some of our
  // kernels with it.
  if (major >= 14 && process.arch === "x64") {
    setFlagsFromString("--experimental-wasm-revectorize");
    setWide();
  }
}
