// A context-free grammar as values: terms, and the bodies that rules are made of.

import type { CharSet } from "./char_set.ts";

export type Term =
  | { readonly text: string }
  | { readonly set: CharSet }
  | { readonly rule: string }
  /** One of several sequences. */
  | { readonly any: Body }
  /** `of`, repeated min to max times; null: without end. */
  | { readonly of: readonly Term[]; readonly min: number; readonly max: number | null };

/** Alternatives, each a sequence of terms. */
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
