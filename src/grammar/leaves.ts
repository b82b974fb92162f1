// The keywords of numbers and strings, and patterns for names, as conditions or as their negations.

import type { Dfa } from "./dfa.ts";
import type { Node } from "./document.ts";
import { formatDfa, numberFormatDfa } from "./formats.ts";
import { at, type Json } from "./keywords.ts";
import { somewhere } from "./look.ts";
import type { Atom } from "./names.ts";
import { type Alternative, one, sizes } from "./parts.ts";
import { parseRegex } from "./regex.ts";

/** Automata of recent patterns: a schema often repeats the same ones. */
const KEPT = 200;
const kept = new Map<string, Dfa>();

/** The texts in which a pattern matches somewhere. @throws RequestError that names the place */
function patternDfa(node: Node, keyword: string, pattern: string): Dfa {
  let dfa = kept.get(pattern);
  if (dfa === undefined) {
    dfa = at(node.where, keyword, () => somewhere(parseRegex(pattern)));
    if (kept.size >= KEPT) kept.clear();
    kept.set(pattern, dfa);
  }
  return dfa;
}

export function patternAtom(node: Node, keyword: string, pattern: string): Atom {
  return { dfa: patternDfa(node, keyword, pattern), key: `/${pattern}/` };
}

export function numberKeyword(keyword: string, value: Json, is: boolean): readonly Alternative[] | null {
  const number = value as number;
  const bound = (kind: "least" | "most", open: boolean): readonly Alternative[] => {
    const other = kind === "least" ? "most" : "least";
    return one({ kind: "number", part: { kind: is ? kind : other, value: number, open: open === is } });
  };
  switch (keyword) {
    case "minimum":
      return bound("least", false);
    case "exclusiveMinimum":
      return bound("least", true);
    case "maximum":
      return bound("most", false);
    case "exclusiveMaximum":
      return bound("most", true);
    case "multipleOf":
      return one({ kind: "number", part: { kind: "multiple", of: number, is } });
    case "format": {
      const dfa = is ? numberFormatDfa(value as string) : null;
      return dfa && one({ kind: "format", dfa });
    }
    default:
      return null;
  }
}

export function stringKeyword(node: Node, keyword: string, value: Json, is: boolean): readonly Alternative[] | null {
  switch (keyword) {
    case "minLength":
      return sizes(value as number, null, is);
    case "maxLength":
      return sizes(0, value as number, is);
    case "pattern":
      return one({ kind: "match", dfa: patternDfa(node, keyword, value as string), is });
    case "format": {
      // An annotation: texts that do not follow it are valid too. It narrows what is written; its
      // negation is no condition.
      const dfa = is ? formatDfa(value as string) : null;
      return dfa && one({ kind: "format", dfa });
    }
    default:
      return null;
  }
}
