// Drafts that are right: the tokens of an earlier run without drafts, of which the bench knows what
// follows. What they give is the most that drafts can give here.

import { Speculation } from "../../src/engine/speculation.ts";
import { type Spelling, spellingOf } from "../../src/engine/spelling.ts";
import { TextLookup } from "../../src/engine/text_lookup.ts";
import type { Tokenizer } from "../../src/tokenizer/types.ts";

/** `all`: as many as a step takes; `known`: those that the lookup, if asked for one, has right. */
export type Oracle = "all" | "known";

/** Most tokens of a step beside the last one of the text. */
const MOST = 15;

/**
 * Has all generations draft from answers that are known.
 * @returns sets the next answer: its prompt and tokens; null: nothing is drafted
 */
export function consult(which: Oracle, tokenizer: Tokenizer): (answer: Answer | null) => void {
  const spelling = spellingOf(tokenizer, tokenizer.vocabSize);
  let text: readonly number[] = [];
  let known: readonly boolean[] = [];
  const lengths = new WeakMap<Speculation, number>();
  Speculation.prototype.follow = function (so) {
    lengths.set(this, so.length);
  };
  Speculation.prototype.draft = function (most) {
    const from = lengths.get(this)!;
    const count = known.slice(from, from + Math.min(most, MOST)).findIndex((right) => !right);
    return text.slice(from, count < 0 ? from + Math.min(most, MOST) : from + count);
  };
  return (answer) => {
    text = answer ? [...answer.prompt, ...answer.ids] : [];
    known = text.map(() => which === "all");
    if (answer && which === "known") known = foreseen(answer, tokenizer.vocabSize, spelling);
  };
}

export interface Answer {
  readonly prompt: readonly number[];
  readonly ids: readonly number[];
}

/** By token of the prompt and of the answer: whether the lookup expects it behind those before. */
export function foreseen({ prompt, ids }: Answer, vocab: number, spelling: Spelling): boolean[] {
  const lookup = new TextLookup(vocab, spelling);
  for (const id of prompt) lookup.push(id);
  const known = prompt.map(() => false);
  for (const id of ids) {
    const match = lookup.find();
    known.push(match !== null && lookup.after(match, 0) === id);
    lookup.push(id);
  }
  return known;
}
