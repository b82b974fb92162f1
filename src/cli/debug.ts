// What is said on stderr of a model that was opened: weights that are less precise than the file's,
// a vocabulary that may be misread; with --debug, kernel variants that do not work on this machine.

import type { Model } from "../index.ts";
import { printable } from "./output.ts";

let debug = false;

/** Sets whether --debug was given, before a command begins. */
export function setDebug(on: boolean): void {
  debug = on;
}

/** Returns the model. */
export function reportOpened(model: Model): Model {
  const { weights, repacked, tokenizerNote } = model.stats();
  if (tokenizerNote) process.stderr.write(`hotset: ${printable(tokenizerNote)}\n`);
  if (repacked)
    process.stderr.write(
      `hotset: weights ${weights}: rounded once more, from the file's ${repacked}, and less precise (models/tales, from Q4_K_M to 4.5 bits: perplexity +0.9 %); without --weights they stay as they are\n`,
    );
  if (debug) for (const why of model.stats().backend.leftOut ?? []) process.stderr.write(`hotset: left out: ${why}\n`);
  return model;
}
