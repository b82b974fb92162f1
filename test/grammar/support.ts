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

/**
 * After so many tokens the random model wants to close what is open; after the
 * second, nothing else.
 */
const SOON = 24;
const NOW = 60;
const LAST = 600;
/** More than the bytes of a token: what comes first or last does so whatever the lengths. */
const OTHERS = 64;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const BRACE = 0x7b;
const BRACKET = 0x5b;

/**
 * A text that a model with random logits writes under a grammar, ended by an end token; null if it
 * did not end within 600 tokens. The longer it is, the more the model is for what closes strings,
 * lists and objects; in a string that may not close yet it tries the `words`, of which the grammar
 * may want one.
 */
export async function randomText(
  grammar: Grammar,
  tokenizer: Tokenizer,
  random: () => number,
  words: readonly string[] = [],
): Promise<string | null> {
  const constraint = await grammar.matcher();
  const bytes: number[] = [];
  const { first } = ranksOf(tokenizer);
  let spelling: readonly number[] = [];
  try {
    for (let step = 0; step < LAST; step++) {
      const mask = await constraint.mask();
      const ids = allowed(mask!);
      if (ids.length === 0) throw new Error(`nothing may follow ${text.decode(Uint8Array.from(bytes))}`);
      const inside = inString(bytes);
      if (spelling.length === 0 && step > NOW && inside && words.length > 0 && !ids.some((id) => first[id] === QUOTE))
        spelling = tokensOf(words[Math.floor(random() * words.length)]!, tokenizer);
      const [wanted, ...rest] = spelling;
      const spells = wanted !== undefined && ids.includes(wanted);
      const id = spells ? wanted : choose(ids, tokenizer, step, random, inside);
      spelling = spells ? rest : [];
      constraint.accept(id);
      if (constraint.ended) return text.decode(Uint8Array.from(bytes));
      bytes.push(...tokenizer.tokenBytes(id));
    }
    return null;
  } finally {
    constraint.close();
  }
}

/** Whether a JSON text breaks off within a string. */
function inString(bytes: readonly number[]): boolean {
  let inside = false;
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] === QUOTE) inside = !inside;
    else if (inside && bytes[i] === BACKSLASH) i++;
  }
  return inside;
}

function choose(
  ids: readonly number[],
  tokenizer: Tokenizer,
  step: number,
  random: () => number,
  inside: boolean,
): number {
  const { first, ...both } = ranksOf(tokenizer);
  // Of single values there are so many tokens that a text would hardly ever be an object or a list,
  // were it not for this.
  const opens = step === 0 ? ids.filter((id) => first[id] === BRACE || first[id] === BRACKET) : [];
  const any = pick(opens.length > 0 && random() < 0.75 ? opens : ids, first, random);
  if (step === 0) return any;
  const end = tokenizer.eosIds.find((id) => ids.includes(id));
  if (end !== undefined && random() < (step > SOON ? 0.9 : 0.3)) return end;
  if (step < SOON ? random() < 0.9 : random() < (step < NOW ? 0.3 : 0.15)) return any;
  const ranks = inside ? both.inside : both.outside;
  // Tokens that begin alike are lucky together: were each for itself, the one digit that a schema
  // waits for would hardly ever come first among the hundreds that open a string.
  const luck = Float32Array.from({ length: 256 }, () => random() * (inside ? 1 : OTHERS));
  let [best, least] = [any, Number.POSITIVE_INFINITY];
  for (const id of ids) {
    if (ranks[id]! > least) continue;
    const own = ranks[id]! + luck[first[id]!]!;
    if (own < least) [best, least] = [id, own];
  }
  return best;
}

/** One of them: any token as likely as any other, or any first byte. */
function pick(ids: readonly number[], first: Uint8Array, random: () => number): number {
  const one = (list: readonly number[]): number => list[Math.floor(random() * list.length)]!;
  if (random() < 0.5) return one(ids);
  const byte = one([...new Set(ids.map((id) => first[id]!))]);
  return one(ids.filter((id) => first[id] === byte));
}

/** For each token its first byte, and how late it comes inside a string and outside. [V] each */
interface Ranks {
  readonly first: Uint8Array;
  readonly inside: Float32Array;
  readonly outside: Float32Array;
}

const ranks = new WeakMap<Tokenizer, Ranks>();

/**
 * Closers first and then commas, single ones before others; then what is short; opening brackets
 * and white space last.
 */
function ranksOf(tokenizer: Tokenizer): Ranks {
  let found = ranks.get(tokenizer);
  if (!found) {
    const V = tokenizer.vocabSize;
    const bytes = Array.from({ length: V }, (_, id) => (tokenizer.isSpecial(id) ? [] : [...tokenizer.tokenBytes(id)]));
    const first = Uint8Array.from(bytes, (own) => own[0] ?? 0);
    const rank = (closers: string, commas: string, last: string): Float32Array =>
      Float32Array.from(bytes, (own, id) => {
        const group = [closers, commas, "", last].findIndex((group) => group.includes(String.fromCharCode(first[id]!)));
        return own.length + OTHERS * (group < 0 ? 2 : group);
      });
    found = { first, inside: rank('"', "", "\\"), outside: rank("}]", ",", " \n[{") };
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
