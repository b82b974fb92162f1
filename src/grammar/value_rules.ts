// What the rules of arrays and objects need of the compiler of values, which they are a part of.

import type { Dfa } from "./dfa.ts";
import type { JsonText } from "./json_text.ts";
import type { Json } from "./keywords.ts";
import type { Names } from "./names.ts";
import type { All } from "./parts.ts";
import type { Rules } from "./rules.ts";
import type { Term } from "./terms.ts";

export interface ValueRules {
  readonly rules: Rules;
  readonly json: JsonText;
  /** Sentences about values that a schema allows and the grammar does not write. */
  readonly warnings: Set<string>;
  /** The rule of values that meet all of these schemas; its body may still be to do. */
  value(wanted: All): Term;
  /**
   * The values that meet all of these schemas, if they are few and plain (null, booleans, listed
   * numbers and texts).
   */
  few(all: All): readonly Json[] | null;
  /** The negation of a single schema; null for several. */
  opposite(all: All): All | null;
  /**
   * Names other than these. Of long lists, names that differ from all of them within
   * the first characters.
   */
  otherNames(names: readonly string[]): Dfa;
  /** The texts of an automaton that are among the names `by`, and the others. */
  divided(dfa: Dfa, by: Names): readonly [inside: Dfa, outside: Dfa];
  /** The rule of property names that an automaton accepts, quotes included. */
  keyOf(dfa: Dfa): Term;
}
