// The output of --debug besides stacks of errors: kernel variants that do not work on this machine.

import type { Model } from "../index.ts";

let debug = false;

/** Sets whether --debug was given, before a command begins. */
export function setDebug(on: boolean): void {
  debug = on;
}

/**
 * With --debug, lists the kernel variants that were left out and the reasons, on stderr. Returns
 * the model.
 */
export function reportLeftOut(model: Model): Model {
  if (debug) for (const why of model.stats().backend.leftOut ?? []) process.stderr.write(`hotset: left out: ${why}\n`);
  return model;
}
