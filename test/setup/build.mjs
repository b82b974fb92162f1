// Before any test: kernels/wgsl.ts and dist as the sources have them, for the tests that run the command itself.

import { build } from "../../src/setup.mjs";

export default function setup() {
  // `npm test` has built already and stopped at errors; a bare `vitest run` goes on with what could be compiled.
  if (!build()) console.error("test set-up: the build has errors; tests that run dist see what could be compiled");
}
