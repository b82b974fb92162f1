// What --debug prints beside the stack of an error: what this machine's WebGPU did not take.

import type { Model } from "../index.ts";

let asked = false;

/** Says whether --debug was given, before a command begins. */
export function setDebug(on: boolean): void {
  asked = on;
}

/** The model that was opened; with --debug each form of a kernel that was left out is named on stderr, with the reason. */
export function noted(model: Model): Model {
  if (asked) for (const why of model.stats().backend.leftOut ?? []) process.stderr.write(`hotset: left out: ${why}\n`);
  return model;
}
