// A context-free grammar as values: terms, and the bodies that rules are made of.

import type { CharSet } from "./char_set.ts";

export type Term =
  | { readonly text: string }
  | { readonly set: CharSet }
  | { readonly rule: string }
  /** One of several sequences. */
  | { readonly any: Body }
  /** `of` from min to max times; null is without end. */
  | { readonly of: readonly Term[]; readonly min: number; readonly max: number | null };

/** Alternatives, each a sequence of symbols. */
export type Body = readonly (readonly Term[])[];

/** Names of the rules that a body refers to, once for each reference. */
export function* rulesIn(body: Body): Generator<string> {
  for (const sequence of body) {
    for (const term of sequence) {
      if ("rule" in term) yield term.rule;
      else if ("of" in term) yield* rulesIn([term.of]);
      else if ("any" in term) yield* rulesIn(term.any);
    }
  }
}
