// How often a token that is drafted from an earlier place is right, by class of match, as learned
// from one text.

import { Share } from "./share.ts";
import type { TextMatch } from "./text_lookup.ts";

/** A class, and the share of right drafts that is expected before there are observations. */
interface Class {
  readonly expected: number;
}

/** By length: of matches below so many tokens. */
const BY_LENGTH: readonly (Class & { readonly below: number })[] = [
  { below: 3, expected: 0.3 },
  { below: 4, expected: 0.4 },
  { below: 6, expected: 0.5 },
  { below: 10, expected: 0.7 },
  { below: 18, expected: 0.8 },
  { below: Number.POSITIVE_INFINITY, expected: 0.9 },
];
/** Tokens of a match from which on a text is taken for a copy. */
const COPY = 5;
/**
 * Tokens of a copy: a long word is spelled in other tokens more often than a short one, and again
 * soon after another one was. By the tokens that were the same before it, then by its bytes.
 */
const COPIED: readonly { readonly below: number; readonly sizes: readonly (Class & { readonly below: number })[] }[] = [
  { below: 3, sizes: sizes(0.9, 0.7, 0.5) },
  { below: Number.POSITIVE_INFINITY, sizes: sizes(0.95, 0.9, 0.75) },
];
/** The first token behind a place near which a copy parted from its source. */
const NEAR: Class = { expected: 0.4 };
/**
 * Tokens that spell the rest of another one: a single byte, with which a word of a copy ends, and
 * others.
 */
const LAST: Class = { expected: 0.9 };
const REST: Class = { expected: 0.45 };

export class MatchShares {
  readonly #right = new Map<Class, Share>();

  /**
   * The chance of the nth draft behind a match, n from 1, to be chosen if all before it are.
   * @param size bytes of it; 0: unknown
   */
  chance(match: TextMatch, n: number, size: number): number {
    const of = classOf(match, n, size);
    return this.#right.get(of)?.value ?? of.expected;
  }

  /** Notes whether the first token behind a match was chosen. */
  note(match: TextMatch, size: number, right: boolean): void {
    const of = classOf(match, 1, size);
    const share = this.#right.get(of) ?? new Share(of.expected);
    this.#right.set(of, share);
    share.note(right);
  }
}

function classOf({ length, tokens, rest, near }: TextMatch, n: number, size: number): Class {
  const whole = length + n - 1;
  if (n <= rest.length) return length >= COPY && n === rest.length && size === 1 ? LAST : REST;
  if (near && n === 1) return NEAR;
  if (whole < COPY || size === 0) return BY_LENGTH.find(({ below }) => whole < below)!;
  const same = tokens + n - 1 - rest.length;
  return COPIED.find(({ below }) => same < below)!.sizes.find(({ below }) => size < below)!;
}

function sizes(one: number, few: number, many: number) {
  return [
    { below: 2, expected: one },
    { below: 5, expected: few },
    { below: Number.POSITIVE_INFINITY, expected: many },
  ];
}
