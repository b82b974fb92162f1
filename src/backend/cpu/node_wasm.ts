// Turns on what this Node's WebAssembly engine has but keeps behind a flag.

import { setFlagsFromString } from "node:v8";

/**
 * Call before the first kernel is compiled: the flags are the process's, and kernels compiled
 * earlier do not change.
 */
export function enableWasmFeatures(): void {
  const [major = 0, minor = 0] = process.versions.v8.split(".").map(Number);
  // V8 11.3 (Node 20) is the one version that has relaxed SIMD and does not offer it.
  if (major === 11 && minor === 3) setFlagsFromString("--experimental-wasm-relaxed-simd");
  // From V8 14 (Node 26) on, pairs of 128-bit operations become one of 256 bits on x86 and prefill
  // is about twice as fast. V8 12 and 13 know the flag too, but 13.6 compiles some of our kernels
  // wrong with it.
  if (major >= 14 && process.arch === "x64") setFlagsFromString("--experimental-wasm-revectorize");
}
