// Before any test: kernels/wgsl.ts and dist as the sources have them, for the tests that run the
// command itself.

import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { build } from "../../src/setup.mjs";

/** Modules as vitest has compiled them, a file for each state of a source (vitest.config.ts). */
const MODULES = new URL("../../dist/.cache/vitest/", import.meta.url);
const WEEK = 7 * 24 * 60 * 60 * 1000;

export default function setup() {
  // `npm test` has built already and stopped at errors; a bare `vitest run` goes on with what could
  // be compiled.
  if (!build()) console.error("test set-up: the build has errors; tests that run dist see what could be compiled");
  if (!existsSync(MODULES)) return;
  for (const name of readdirSync(MODULES)) {
    const file = new URL(name, MODULES);
    // Another run may remove it at the same time.
    const { mtimeMs = Date.now() } = statSync(file, { throwIfNoEntry: false }) ?? {};
    if (Date.now() - mtimeMs > WEEK) rmSync(file, { force: true, recursive: true });
  }
}
