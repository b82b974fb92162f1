// What an answer is held to: a text, in whatever tokens the model spells it, or the prompt's
// tokens.

import type { Model } from "../../src/engine/model.ts";
import type { Constraint } from "../../src/grammar/types.ts";
import type { Tokenizer } from "../../src/tokenizer/types.ts";
import type { Text } from "./texts.ts";

/** The constraint of a text, and how many tokens its answer has at most. */
export async function heldTo(model: Model, { kind, prompt, held }: Text, most: number) {
  if (held === undefined) return { constraint: null, most };
  if (kind === "quoted") {
    const ids = quoted(model.tokenizer, prompt, held);
    return { constraint: sequence(ids, model.tokenizer.vocabSize), most: Math.min(most, ids.length) };
  }
  const pattern = held.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  return { constraint: await (await model.grammars.regex(pattern)).matcher(), most };
}

/** The prompt's tokens of a part of it. */
export function quoted(tokenizer: Pick<Tokenizer, "encode">, prompt: string, part: string): number[] {
  const at = prompt.indexOf(part);
  const length = (text: string): number => tokenizer.encode(text, { addBos: false }).length;
  const [from, to] = [length(prompt.slice(0, at).trimEnd()), length(prompt.slice(0, at + part.length))];
  return tokenizer.encode(prompt, { addBos: false }).slice(from, to);
}

/** Allows these tokens, one after the other. */
function sequence(ids: readonly number[], vocab: number): Constraint {
  let next = 0;
  return {
    ended: false,
    async mask() {
      const mask = new Int32Array(Math.ceil(vocab / 32));
      const id = ids[next]!;
      mask[id >> 5] = 1 << (id & 31);
      return mask;
    },
    accept() {
      next++;
    },
    close() {},
  };
}
