// Parses the patterns of JSON Schema: ECMAScript regular expressions in u mode, if
// they are regular.

import { ANY, type CharSet, charSet, classEscape, complement, intersect, NONE, pairs, union } from "./char_set.ts";
import type { Dfa } from "./dfa.ts";
import { Invalid, Unsupported } from "./unsupported.ts";

export type Regex =
  | { readonly kind: "set"; readonly set: CharSet }
  | { readonly kind: "sequence" | "choice"; readonly parts: readonly Regex[] }
  | { readonly kind: "repeat"; readonly part: Regex; readonly min: number; readonly max: number }
  | { readonly kind: "start" | "end" }
  /** The text ahead (or behind) matches `part`, or (not `is`) does not. */
  | { readonly kind: "look"; readonly ahead: boolean; readonly is: boolean; readonly part: Regex }
  /** A text that an automaton accepts. */
  | { readonly kind: "dfa"; readonly dfa: Dfa };

export const EMPTY: Regex = { kind: "sequence", parts: [] };
export const NEVER: Regex = { kind: "choice", parts: [] };
export const set = (...ranges: readonly (readonly [number, number])[]): Regex => ({
  kind: "set",
  set: charSet(...ranges),
});
export const sequence = (...parts: readonly Regex[]): Regex => ({ kind: "sequence", parts });
export const choice = (...parts: readonly Regex[]): Regex => ({ kind: "choice", parts });
export const repeat = (part: Regex, min: number, max = Number.POSITIVE_INFINITY): Regex => ({
  kind: "repeat",
  part,
  min,
  max,
});
export const anything: Regex = repeat({ kind: "set", set: ANY }, 0);
export const literal = (text: string): Regex =>
  sequence(...Array.from(text, (c) => set([c.codePointAt(0)!, c.codePointAt(0)!])));

const MAX_LENGTH = 2000;
const MAX_DEPTH = 50;
const MAX_REPEAT = 1000;
/** Latin, Greek and Cyrillic: the letters that have two cases. */
const LETTERS = charSet([0x41, 0x5a], [0x61, 0x7a], [0xc0, 0x24f], [0x370, 0x52f]);
const LINE_ENDS = charSet([0x0a, 0x0a], [0x0d, 0x0d], [0x2028, 0x2029]);
const CONTROL: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13 };

/**
 * Parses a pattern in u mode; one that is not valid there, without it, as validators without
 * u mode do.
 * @throws Unsupported for a pattern that is not regular (back references) or too large, Invalid for
 * one that is not valid
 */
export function parseRegex(pattern: string): Regex {
  if (pattern.length > MAX_LENGTH) throw new Unsupported(`a pattern of more than ${MAX_LENGTH} characters`);
  // "(?i)" in front is from Python and PCRE; ECMAScript has "(?i:...)" since 2025.
  const anyCase = /^\^?\(\?i\)/.test(pattern);
  const text = anyCase ? pattern.replace("(?i)", "") : pattern;
  const plain = text.replaceAll("(?i:", "(?:");
  const loose = !isPattern(plain, "u");
  if (loose && !isPattern(plain, "")) throw new Invalid(`is not a regular expression of ECMAScript: ${shown(pattern)}`);
  return new Parser(text, anyCase, loose).parse();
}

function isPattern(pattern: string, flags: string): boolean {
  try {
    new RegExp(pattern, flags);
    return true;
  } catch {
    return false;
  }
}

/** The set with the other case of each of its letters. */
function bothCases(of: CharSet): CharSet {
  const letters = intersect(of, LETTERS);
  const others = pairs(letters).flatMap(([lo, hi]) =>
    Array.from({ length: hi - lo + 1 }, (_, i) => String.fromCodePoint(lo + i)).flatMap((c) =>
      [c.toLowerCase(), c.toUpperCase()].flatMap((other) => {
        const point = other.codePointAt(0)!;
        return other.length === 1 ? [[point, point] as const] : [];
      }),
    ),
  );
  return union(of, charSet(...others));
}

function shown(pattern: string): string {
  return JSON.stringify(pattern.length > 60 ? `${pattern.slice(0, 60)}...` : pattern);
}

/** Of \w, which is found by trying all code points: not before a pattern needs it. */
const look = (ahead: boolean, is: boolean): Regex => ({
  ...{ kind: "look", ahead, is },
  part: { kind: "set", set: classEscape("\\w")! },
});
const boundary = (): Regex =>
  choice(sequence(look(false, true), look(true, false)), sequence(look(false, false), look(true, true)));
const noBoundary = (): Regex =>
  choice(sequence(look(false, true), look(true, true)), sequence(look(false, false), look(true, false)));

/** Parses a pattern that RegExp has accepted. */
class Parser {
  readonly #text: string;
  readonly #loose: boolean;
  #anyCase: boolean;
  #at = 0;
  #depth = 0;

  /**
   * @param loose not in u mode: a backslash before any other character stands for that character
   */
  constructor(text: string, anyCase: boolean, loose: boolean) {
    this.#text = text;
    this.#anyCase = anyCase;
    this.#loose = loose;
  }

  parse(): Regex {
    return this.#choice();
  }

  #choice(): Regex {
    if (++this.#depth > MAX_DEPTH) throw new Unsupported(`a pattern nested more than ${MAX_DEPTH} deep`);
    const parts = [this.#sequence()];
    while (this.#take("|")) parts.push(this.#sequence());
    this.#depth--;
    return parts.length === 1 ? parts[0]! : choice(...parts);
  }

  #sequence(): Regex {
    const parts: Regex[] = [];
    while (this.#at < this.#text.length && !/^[|)]/.test(this.#text[this.#at]!)) parts.push(this.#quantified());
    return parts.length === 1 ? parts[0]! : sequence(...parts);
  }

  #quantified(): Regex {
    const part = this.#atom();
    const found = /^(?:([*+?])|\{(\d+)(,(\d*))?\})\??/.exec(this.#text.slice(this.#at, this.#at + 40));
    if (!found) return part;
    this.#at += found[0].length;
    const [, sign, low, comma, high] = found;
    if (sign !== undefined) return repeat(part, sign === "+" ? 1 : 0, sign === "?" ? 1 : Number.POSITIVE_INFINITY);
    const min = Number(low);
    const max = comma === undefined ? min : high === "" ? Number.POSITIVE_INFINITY : Number(high);
    if (min > MAX_REPEAT || (max > MAX_REPEAT && max !== Number.POSITIVE_INFINITY))
      throw new Unsupported(`more than ${MAX_REPEAT} repetitions in ${shown(this.#text)}`);
    return repeat(part, min, max);
  }

  #atom(): Regex {
    if (this.#take("^")) return { kind: "start" };
    if (this.#take("$")) return { kind: "end" };
    if (this.#take(".")) return { kind: "set", set: complement(LINE_ENDS) };
    if (this.#take("(")) {
      const look = /^\?(<?)([=!])/.exec(this.#text.slice(this.#at, this.#at + 3));
      if (look) {
        this.#at += look[0].length;
        const part = this.#choice();
        this.#at++; // ")"
        return { kind: "look", ahead: look[1] === "", is: look[2] === "=", part };
      }
      const before = this.#anyCase;
      if (this.#text.startsWith("?i:", this.#at)) {
        this.#anyCase = true;
        this.#at += 3;
        const inner = this.#choice();
        this.#anyCase = before;
        this.#at++;
        return inner;
      }
      const name = /^\?(:|<[^>]*>)/.exec(this.#text.slice(this.#at));
      if (name) this.#at += name[0].length;
      else if (this.#text[this.#at] === "?") throw new Unsupported(`modifiers in ${shown(this.#text)}`);
      const inner = this.#choice();
      this.#at++; // ")"
      return inner;
    }
    if (this.#take("[")) return { kind: "set", set: this.#class() };
    if (this.#take("\\")) {
      if (this.#take("b")) return boundary();
      if (this.#take("B")) return noBoundary();
      const found = this.#escape(false);
      return this.#set(typeof found === "number" ? charSet([found, found]) : found);
    }
    const point = this.#point();
    return this.#set(charSet([point, point]));
  }

  #set(of: CharSet): Regex {
    return { kind: "set", set: this.#anyCase ? bothCases(of) : of };
  }

  #class(): CharSet {
    const negated = this.#take("^");
    let out: CharSet = NONE;
    while (!this.#take("]")) {
      const low = this.#member();
      if (typeof low === "number" && this.#text[this.#at] === "-" && this.#text[this.#at + 1] !== "]") {
        const back = this.#at++;
        const high = this.#member();
        if (typeof high === "number") out = union(out, charSet([low, high]));
        else {
          out = union(out, charSet([low, low]));
          this.#at = back; // not in u mode: a plain hyphen
        }
      } else out = union(out, typeof low === "number" ? charSet([low, low]) : low);
    }
    const cased = this.#anyCase ? bothCases(out) : out;
    return negated ? complement(cased) : cased;
  }

  #member(): number | CharSet {
    return this.#take("\\") ? this.#escape(true) : this.#point();
  }

  #escape(inClass: boolean): number | CharSet {
    const rest = this.#text.slice(this.#at);
    const property = /^(?:[dDsSwW]|[pP]\{[^}]*\})/.exec(rest);
    if (property) {
      this.#at += property[0].length;
      const found = classEscape(`\\${property[0]}`);
      if (found) return found;
    }
    const pair = /^u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})/.exec(rest);
    if (pair) {
      this.#at += pair[0].length;
      return String.fromCharCode(Number.parseInt(pair[1]!, 16), Number.parseInt(pair[2]!, 16)).codePointAt(0)!;
    }
    const code = /^(?:u\{([0-9a-fA-F]+)\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|c([A-Za-z]))/.exec(rest);
    if (code) {
      this.#at += code[0].length;
      if (code[4] !== undefined) return code[4].charCodeAt(0) % 32;
      return Number.parseInt((code[1] ?? code[2] ?? code[3])!, 16);
    }
    if (/^(?:[1-9]|k<)/.test(rest)) throw new Unsupported(`back references in ${shown(this.#text)}`);
    // Other dialects take "\\A" and "\\Z" for the ends of the text: unknown letters are rejected,
    // not guessed.
    const letter = /^(?:0[0-9]|[a-zA-Z])/.exec(rest)?.[0] ?? "";
    if (this.#loose && letter !== "" && !(letter in CONTROL) && !(inClass && letter === "b"))
      throw new Unsupported(`the escape \\${letter} in ${shown(this.#text)}`);
    const point = this.#point();
    const c = String.fromCodePoint(point);
    if (c === "b") return 8;
    if (c === "0") return 0;
    return CONTROL[c] ?? point;
  }

  #take(c: string): boolean {
    if (this.#text[this.#at] !== c) return false;
    this.#at++;
    return true;
  }

  #point(): number {
    const point = this.#text.codePointAt(this.#at)!;
    this.#at += point > 0xffff ? 2 : 1;
    return point;
  }
}
