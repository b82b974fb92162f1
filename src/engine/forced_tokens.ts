// Text that a grammar leaves no choice about, such as the keys of a schema, as tokens: a model
// nearly always spells it as the tokenizer does, but it may spell it otherwise.

import type { Constraint } from "../grammar/types.ts";
import { Share } from "./share.ts";

/** UTF-16 units that are looked at: what a step's drafts may spell. */
const MOST = 96;

/** @param encode the ids of a text, without BOS */
export function forcedTokens(
  constraint: Constraint | undefined,
  encode: (text: string) => readonly number[],
): readonly number[] {
  const text = constraint?.forced?.() ?? "";
  if (text === "") return [];
  // Behind a line break it is spelled as in the middle of a text: with no space in front of it.
  const line = encode("\n");
  const ids = encode(`\n${text.slice(0, MOST)}`);
  if (!line.every((id, i) => ids[i] === id)) return [];
  return ids.slice(line.length, text.length > MOST ? -1 : undefined); // the last one may be half a word
}

/** How often such tokens are right. The last one may be the beginning of a longer one. */
export class ForcedShares {
  readonly #inner = new Share(0.8);
  readonly #last = new Share(0.6);

  chance(last: boolean): number {
    return (last ? this.#last : this.#inner).value;
  }

  note(last: boolean, right: boolean): void {
    (last ? this.#last : this.#inner).note(right);
  }
}
