// Turns on WebAssembly features that this Node has but keeps behind a flag.

import { setFlagsFromString } from "node:v8";

/** Call before the first kernel is compiled. Flags are the process's: relaxed SIMD only adds instructions. */
export function enableWasmFeatures(): void {
  // V8 11.3 (Node 20) has relaxed SIMD behind a flag; later ones have it, and 11.2 and before know no such flag.
  if (process.versions.v8.startsWith("11.3.")) setFlagsFromString("--experimental-wasm-relaxed-simd");
}
