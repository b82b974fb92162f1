// Parses the patterns of JSON Schema: ECMAScript regular expressions in u mode, as far as they are regular.

import { ANY, type CharSet, charSet, classEscape, complement, NONE, union } from "./char_set.ts";
import { Unsupported } from "./unsupported.ts";

export type Regex =
  | { readonly kind: "set"; readonly set: CharSet }
  | { readonly kind: "sequence" | "choice"; readonly parts: readonly Regex[] }
  | { readonly kind: "repeat"; readonly part: Regex; readonly min: number; readonly max: number }
  | { readonly kind: "start" | "end" };

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
const LINE_ENDS = charSet([0x0a, 0x0a], [0x0d, 0x0d], [0x2028, 0x2029]);
const CONTROL: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13 };

/** @throws Unsupported for what is no pattern, is not regular (look-around, back references, \b) or is too large */
export function parseRegex(pattern: string): Regex {
  if (pattern.length > MAX_LENGTH) throw new Unsupported(`a pattern of more than ${MAX_LENGTH} characters`);
  try {
    new RegExp(pattern, "u");
  } catch {
    throw new Unsupported(`${shown(pattern)}, which is no regular expression of ECMAScript's u mode`);
  }
  return new Parser(pattern).parse();
}

function shown(pattern: string): string {
  return JSON.stringify(pattern.length > 60 ? `${pattern.slice(0, 60)}…` : pattern);
}

/** Reads a pattern that RegExp has found well-formed. */
class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
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
      if (/^\?(<?[=!])/.test(this.#text.slice(this.#at, this.#at + 3)))
        throw new Unsupported(`look-ahead and look-behind in ${shown(this.#text)}`);
      const name = /^\?(:|<[^>]*>)/.exec(this.#text.slice(this.#at));
      if (name) this.#at += name[0].length;
      else if (this.#text[this.#at] === "?") throw new Unsupported(`modifiers in ${shown(this.#text)}`);
      const inner = this.#choice();
      this.#at++; // ")"
      return inner;
    }
    if (this.#take("[")) return { kind: "set", set: this.#class() };
    if (this.#take("\\")) {
      const found = this.#escape(false);
      return { kind: "set", set: typeof found === "number" ? charSet([found, found]) : found };
    }
    const point = this.#point();
    return set([point, point]);
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
        else this.#at = back; // u mode has no such class; RegExp has refused it
      } else out = union(out, typeof low === "number" ? charSet([low, low]) : low);
    }
    return negated ? complement(out) : out;
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
    if (!inClass && /^[bB]/.test(rest)) throw new Unsupported(`word boundaries in ${shown(this.#text)}`);
    if (/^(?:[1-9]|k<)/.test(rest)) throw new Unsupported(`back references in ${shown(this.#text)}`);
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
