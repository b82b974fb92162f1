// An expanded schema: conditions on a value of one type, and alternatives, each a
// list of conditions.

import type { Dfa } from "./dfa.ts";
import type { Node } from "./document.ts";
import type { Names } from "./names.ts";
import type { NumberPart } from "./numbers.ts";

/** JSON's own types: an integer is a number. */
export type Type = "null" | "boolean" | "number" | "string" | "array" | "object";
export const TYPES: readonly Type[] = ["null", "boolean", "number", "string", "array", "object"];

/** A schema that must hold, or must not: the id of a node times two, plus one if it must not. */
export type Signed = number;
/** Signed schemas that all must hold, ascending. */
export type All = readonly Signed[];

export type Part =
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "number"; readonly part: NumberPart }
  /** One of these texts, or none of them. */
  | { readonly kind: "texts"; readonly values: readonly string[]; readonly is: boolean }
  | { readonly kind: "match"; readonly dfa: Dfa; readonly is: boolean }
  /**
   * An annotation: other texts are valid too, but are written only where no valid text
   * follows the format.
   */
  | { readonly kind: "format"; readonly dfa: Dfa }
  /** A number of characters, items or properties; null is no limit. */
  | { readonly kind: "count"; readonly min: number; readonly max: number | null }
  | { readonly kind: "items"; readonly prefix: readonly All[]; readonly rest: All }
  /** From the index `from` on, `min` to `max` items meet `all`. */
  | {
      readonly kind: "some";
      readonly from: number;
      readonly all: All;
      readonly min: number;
      readonly max: number | null;
    }
  | { readonly kind: "unique"; readonly where: string }
  | { readonly kind: "each"; readonly names: Names; readonly all: All }
  | { readonly kind: "need"; readonly name: string }
  | { readonly kind: "one"; readonly names: Names; readonly all: All };

export interface Alternative {
  readonly parts: readonly Part[];
  /**
   * Properties and items that the schema has evaluated: unevaluatedProperties and unevaluatedItems
   * ignore them.
   */
  readonly names: readonly Names[];
  readonly items: number;
}

export const TRUE: readonly Alternative[] = [{ parts: [], names: [], items: 0 }];
export const FALSE: readonly Alternative[] = [];

export function sign(node: Node, is: boolean): Signed {
  return node.id * 2 + (is ? 0 : 1);
}

export function alternative(...parts: readonly Part[]): Alternative {
  return { parts, names: [], items: 0 };
}

export function one(part: Part): readonly Alternative[] {
  return [alternative(part)];
}

/** The item at an index meets `all`. */
export function at_(index: number, all: All): Part {
  return { kind: "items", prefix: [...Array.from({ length: index }, () => []), all], rest: [] };
}

export function size(min: number, max: number | null): Part[] {
  return [{ kind: "count", min, max }];
}

/** A count within limits, or (not `is`) outside them. */
export function sizes(min: number, max: number | null, is: boolean): readonly Alternative[] {
  if (is) return [alternative(...size(min, max))];
  const below = min > 0 ? [alternative(...size(0, min - 1))] : [];
  return max === null ? below : [...below, alternative(...size(max + 1, null))];
}

/** The range that all counts allow together. */
export function range(parts: readonly Part[]): { readonly min: number; readonly max: number | null } {
  let min = 0;
  let max: number | null = null;
  for (const part of parts) {
    if (part.kind !== "count") continue;
    min = Math.max(min, part.min);
    if (part.max !== null) max = max === null ? part.max : Math.min(max, part.max);
  }
  return { min, max };
}
