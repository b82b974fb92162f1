// Tokens that may not come next, whatever their logits: an end before the minimum length, bad
// words, tokens not allowed.

import { RequestError } from "../errors.ts";
import type { GenerateOptions } from "./api.ts";

export interface Bans {
  /**
   * The mask without banned tokens.
   * @param generated the answer's tokens so far
   * @param mask the tokens that a constraint allows (bit id % 32 of word id >> 5); null: all
   */
  mask(generated: readonly number[], mask: Int32Array | null): Int32Array;
}

export interface BansParts {
  /** V */
  readonly vocab: number;
  /** Tokens that end the answer. */
  readonly ends: Iterable<number>;
  /** The ids of a text, without BOS. */
  readonly encode: (text: string) => readonly number[];
}

/** Null where the options ban nothing. @throws RequestError for an option that is out of range */
export function createBans(options: GenerateOptions, { vocab, ends, encode }: BansParts): Bans | null {
  const { minTokens = 0, allowedIds, badWords = [] } = options;
  if (minTokens === 0 && allowedIds === undefined && badWords.length === 0) return null;
  const words = Math.ceil(vocab / 32);
  const allowed = allowedIds === undefined ? null : maskOf(allowedIds, vocab);
  const endIds = [...ends].filter((id) => id < vocab);
  const sequences = badWords.flatMap((word) => tokensOf(word, encode));
  return {
    mask(generated, mask) {
      const out = new Int32Array(words).fill(-1);
      if (mask !== null) for (let i = 0; i < words; i++) out[i] = mask[i] ?? 0;
      if (allowed !== null) for (let i = 0; i < words; i++) out[i]! &= allowed[i]!;
      for (const ids of sequences) if (follows(generated, ids)) clear(out, ids.at(-1)!);
      if (generated.length >= minTokens) return out;
      const longer = out.slice();
      for (const id of endIds) clear(longer, id);
      // A text that a constraint has completed cannot become longer.
      return mask === null || longer.some((word) => word !== 0) ? longer : out;
    },
  };
}

function maskOf(ids: readonly number[], vocab: number): Int32Array {
  const mask = new Int32Array(Math.ceil(vocab / 32));
  for (const id of ids) {
    if (!Number.isInteger(id) || id < 0 || id >= vocab)
      throw new RequestError(`allowedIds: expected ids from 0 to ${vocab - 1}, found ${String(id)}`);
    mask[id >> 5]! |= 1 << (id & 31);
  }
  if (ids.length === 0) throw new RequestError("allowedIds: expected at least one token, found none");
  return mask;
}

/**
 * The token sequences that spell a word. As in vLLM: at the beginning of a text, and after a space
 * where that changes its first token. Besides, in the middle of a text: a tokenizer that begins
 * every text with a space does not give that one.
 */
function tokensOf(word: string, encode: (text: string) => readonly number[]): (readonly number[])[] {
  const bare = word.trimStart();
  const plain = encode(bare);
  if (plain.length === 0) throw new RequestError("badWords: expected words that are not empty");
  const spaced = encode(` ${bare}`);
  const ways = spaced[0] !== plain[0] && spaced.length === plain.length ? [plain, spaced] : [plain];
  const line = encode("\n");
  const after = encode(`\n${bare}`);
  if (line.every((id, i) => after[i] === id) && after.length > line.length) ways.push(after.slice(line.length));
  return ways;
}

/** Whether `generated` ends with all of `ids` but the last. */
function follows(generated: readonly number[], ids: readonly number[]): boolean {
  const from = generated.length - (ids.length - 1);
  return from >= 0 && ids.slice(0, -1).every((id, i) => generated[from + i] === id);
}

function clear(mask: Int32Array, id: number): void {
  mask[id >> 5]! &= ~(1 << (id & 31));
}
