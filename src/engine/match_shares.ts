// How often a token that is drafted from an earlier place is right, by class of match, as learned
// from one text.

import { Share } from "./share.ts";
import type { TextMatch } from "./text_lookup.ts";

/** A class, and the share of right drafts that is expected before there are observations. */
interface Class {
  readonly expected: number;
}

/** What became of a token when it was expected last, if it was. */
type Past = "unknown" | "right" | "wrong";
type ByPast = { readonly [past in Past]: Class };

/**
 * By length: of matches below so many tokens. In usual texts a token that came when it was expected
 * comes again two to three times as often as others: a turn of speech and not a chance pair.
 */
const BY_LENGTH: readonly (ByPast & { readonly below: number })[] = [
  { below: 3, ...byPast(0.2, 0.6, 0.25) },
  { below: 4, ...byPast(0.35, 0.75, 0.4) },
  { below: 6, ...byPast(0.45, 0.8, 0.45) },
  { below: 10, ...byPast(0.6, 0.85, 0.5) },
  { below: 18, ...byPast(0.75, 0.9, 0.6) },
  { below: Number.POSITIVE_INFINITY, ...byPast(0.85, 0.95, 0.7) },
];
/** Tokens of a match from which on a text is taken for a copy. */
const COPY = 5;
/**
 * Tokens of a copy: a long word is spelled in other tokens more often than a short one, and again
 * soon after another one was. By the tokens that were the same before it, then by its bytes.
 */
const COPIED: readonly { readonly below: number; readonly sizes: readonly (Class & { readonly below: number })[] }[] = [
  { below: 3, sizes: sizes(0.9, 0.7, 0.5) },
  { below: Number.POSITIVE_INFINITY, sizes: sizes(0.95, 0.9, 0.7) },
];
/** The first token behind a place near which a copy parted from its source. */
const NEAR: Class = { expected: 0.2 };
/**
 * Tokens that spell the rest of another one: a single byte, with which a word of a copy ends,
 * others, and those outside of a copy.
 */
const LAST: Class = { expected: 0.9 };
const REST: Class = { expected: 0.6 };
const NO_REST: Class = { expected: 0.1 };

/** Whether the text is taken for a copy of what lies behind a match. */
export function isCopy({ length, near }: TextMatch): boolean {
  return near || length >= COPY;
}

export class MatchShares {
  readonly #right = new Map<Class, Share>();
  /** By token: whether it was right when it was expected last. */
  readonly #past = new Map<number, Past>();

  /**
   * The chance of the nth draft behind a match, n from 1, to be chosen if all before it are.
   * @param size bytes of it; 0: unknown
   */
  chance(match: TextMatch, n: number, id: number, size: number): number {
    const of = this.#classOf(match, n, id, size);
    return this.#right.get(of)?.value ?? of.expected;
  }

  /** Notes whether the first token behind a match was chosen. */
  note(match: TextMatch, id: number, size: number, right: boolean): void {
    const of = this.#classOf(match, 1, id, size);
    const share = this.#right.get(of) ?? new Share(of.expected);
    this.#right.set(of, share);
    share.note(right);
    this.#past.set(id, right ? "right" : "wrong");
  }

  #classOf({ length, tokens, rest, near }: TextMatch, n: number, id: number, size: number): Class {
    const whole = length + n - 1;
    if (n <= rest.length) return length < COPY ? NO_REST : n === rest.length && size === 1 ? LAST : REST;
    if (near && n === 1) return NEAR;
    if (whole < COPY || size === 0)
      return BY_LENGTH.find(({ below }) => whole < below)![this.#past.get(id) ?? "unknown"];
    const same = tokens + n - 1 - rest.length;
    return COPIED.find(({ below }) => same < below)!.sizes.find(({ below }) => size < below)!;
  }
}

function byPast(unknown: number, right: number, wrong: number): ByPast {
  return { unknown: { expected: unknown }, right: { expected: right }, wrong: { expected: wrong } };
}

function sizes(one: number, few: number, many: number) {
  return [
    { below: 2, expected: one },
    { below: 5, expected: few },
    { below: Number.POSITIVE_INFINITY, expected: many },
  ];
}
