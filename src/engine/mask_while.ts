// A constraint's work beside the device's.

import type { Constraint } from "../grammar/types.ts";
import { turn } from "../turn.ts";

/**
 * The mask of the next token, computed after the step was submitted, so that the
 * device works meanwhile; and so are those after the drafted tokens.
 */
export async function maskWhile(
  step: Promise<unknown>,
  constraint: Constraint,
  drafted: readonly number[],
): Promise<Int32Array | null> {
  step.catch(() => {}); // reported to the caller that awaits the step
  if (drafted.length > 0) constraint.expect?.(drafted);
  await turn();
  return constraint.mask();
}
