// The keywords of numbers and strings, and patterns for names, as conditions or as what their negation is.

import { somewhere, whole } from "./automaton.ts";
import { at, type Json, type Node, refuse } from "./document.ts";
import { formatRegex } from "./formats.ts";
import type { Atom } from "./names.ts";
import { type Alternative, one, sizes } from "./parts.ts";
import { parseRegex } from "./regex.ts";

export function patternAtom(node: Node, keyword: string, pattern: string): Atom {
  return { dfa: at(node.where, keyword, () => somewhere(parseRegex(pattern))), key: `/${pattern}/` };
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
      return one({ kind: "match", dfa: at(node.where, keyword, () => somewhere(parseRegex(value as string))), is });
    case "format": {
      // An annotation: what does not follow it is valid too. So it narrows what is written, and its negation says nothing.
      const regex = formatRegex(value as string);
      if (regex === null)
        throw refuse(node.where, keyword, `names a format that is not supported: ${JSON.stringify(value)}`);
      return is ? one({ kind: "match", dfa: whole(regex), is }) : null;
    }
    default:
      return null;
  }
}
