// What the tests of grammars share: real vocabularies, a random model, and texts fed to a matcher.

import type { Constraint, Grammar } from "../../src/grammar/types.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";

/** Uniform in [0, 1), from a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function allowed(mask: Int32Array): number[] {
  const out: number[] = [];
  for (let word = 0; word < mask.length; word++) {
    for (let bits = mask[word]!; bits !== 0; bits &= bits - 1) out.push(word * 32 + 31 - Math.clz32(bits & -bits));
  }
  return out;
}

const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** After so many tokens the random model wants to close what is open; after the second, nothing else. */
const SOON = 24;
const NOW = 60;
const LAST = 600;

/**
 * A text that a model with random logits writes under a grammar, ended by an end token; null if it did not end within 600
 * tokens. The longer it is, the more the model is for what closes strings, lists and objects.
 */
export async function randomText(grammar: Grammar, tokenizer: Tokenizer, random: () => number): Promise<string | null> {
  const constraint = await grammar.matcher();
  const bytes: number[] = [];
  try {
    for (let step = 0; step < LAST; step++) {
      const mask = await constraint.mask();
      const ids = allowed(mask!);
      if (ids.length === 0) throw new Error(`nothing may follow ${text.decode(Uint8Array.from(bytes))}`);
      const id = choose(ids, tokenizer, step, random);
      constraint.accept(id);
      if (constraint.ended) return text.decode(Uint8Array.from(bytes));
      bytes.push(...tokenizer.tokenBytes(id));
    }
    return null;
  } finally {
    constraint.close();
  }
}

function choose(ids: readonly number[], tokenizer: Tokenizer, step: number, random: () => number): number {
  const any = ids[Math.floor(random() * ids.length)]!;
  const end = tokenizer.eosIds.find((id) => ids.includes(id));
  if (end !== undefined && random() < (step > SOON ? 0.9 : 0.3)) return end;
  if (step < SOON ? random() < 0.7 : random() < (step < NOW ? 0.3 : 0.15)) return any;
  const ranks = ranksOf(tokenizer);
  let [best, least] = [any, Number.POSITIVE_INFINITY];
  for (const id of ids) {
    if (ranks[id]! > least) continue;
    const own = ranks[id]! + random();
    if (own < least) [best, least] = [id, own];
  }
  return best;
}

const ranks = new WeakMap<Tokenizer, Float32Array>();

/** Closers first, single ones before others; then what is short; opening brackets and white space last. */
function ranksOf(tokenizer: Tokenizer): Float32Array {
  let found = ranks.get(tokenizer);
  if (!found) {
    found = Float32Array.from({ length: tokenizer.vocabSize }, (_, id) => {
      const bytes = tokenizer.isSpecial(id) ? [] : tokenizer.tokenBytes(id);
      const first = String.fromCharCode(bytes[0] ?? 0);
      return '"}]'.includes(first) ? bytes.length - 20 : " \n[{\\,".includes(first) ? 50 : bytes.length;
    });
    ranks.set(tokenizer, found);
  }
  return found;
}

/** The tokens of a text in its middle: no space in front, the longest piece that fits first. */
export function tokensOf(value: string, tokenizer: Tokenizer): number[] {
  const byBytes = piecesOf(tokenizer);
  const bytes = String.fromCharCode(...new TextEncoder().encode(value));
  const ids: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    let size = Math.min(12, bytes.length - at);
    while (!byBytes.has(bytes.slice(at, at + size))) size--;
    ids.push(byBytes.get(bytes.slice(at, at + size))!);
    at += size;
  }
  return ids;
}

const pieces = new WeakMap<Tokenizer, Map<string, number>>();

function piecesOf(tokenizer: Tokenizer): Map<string, number> {
  let found = pieces.get(tokenizer);
  if (!found) {
    found = new Map();
    for (let id = tokenizer.vocabSize - 1; id >= 0; id--)
      if (!tokenizer.isSpecial(id)) found.set(String.fromCharCode(...tokenizer.tokenBytes(id)), id);
    pieces.set(tokenizer, found);
  }
  return found;
}

/** Whether a grammar allows a whole text. */
export async function accepts(grammar: Grammar, value: string, tokenizer: Tokenizer): Promise<boolean> {
  const constraint: Constraint = await grammar.matcher();
  try {
    for (const id of tokensOf(value, tokenizer)) {
      const mask = await constraint.mask();
      if (mask !== null && !(mask[id >> 5]! & (1 << (id & 31)))) return false;
      constraint.accept(id);
    }
    const mask = await constraint.mask();
    return mask === null || tokenizer.eosIds.some((id) => (mask[id >> 5]! & (1 << (id & 31))) !== 0);
  } finally {
    constraint.close();
  }
}
