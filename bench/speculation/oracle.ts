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
 * Switches what generations draft: from an answer that is known, or null: as they do by themselves.
 * What steps cost is not noted meanwhile, as generations that draft by themselves would learn of
 * sizes which they have not tried.
 */
export function consult(tokenizer: Tokenizer): (from: { which: Oracle; answer: Answer } | null) => void {
  const spelling = spellingOf(tokenizer, tokenizer.vocabSize);
  const { follow, draft, took, propose } = Speculation.prototype;
  const lengths = new WeakMap<Speculation, number>();
  return (from) => {
    Object.assign(Speculation.prototype, { follow, draft, took, propose });
    if (from === null) return;
    const { which, answer } = from;
    const text = [...answer.prompt, ...answer.ids];
    const known = which === "all" ? text.map(() => true) : foreseen(answer, tokenizer.vocabSize, spelling);
    Speculation.prototype.follow = function (so) {
      lengths.set(this, so.length);
    };
    Speculation.prototype.draft = function (most) {
      const at = lengths.get(this)!;
      const count = known.slice(at, at + Math.min(most, MOST)).findIndex((right) => !right);
      return text.slice(at, count < 0 ? at + Math.min(most, MOST) : at + count);
    };
    Speculation.prototype.took = () => {};
    Speculation.prototype.propose = async () => {};
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
