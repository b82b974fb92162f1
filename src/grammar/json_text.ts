// How JSON is spelled: white space, strings whose text an automaton accepts,
// and unconstrained values.

import { type CharSet, charSet, intersect, pairs } from "./char_set.ts";
import { alive, type Dfa, exits } from "./dfa.ts";
import type { Rules } from "./rules.ts";
import type { Term } from "./terms.ts";

/**
 * Characters that a string contains unescaped: no quote, backslash or control character, and no
 * surrogate (UTF-8 has none).
 */
const RAW: CharSet = charSet([0x20, 0x21], [0x23, 0x5b], [0x5d, 0xd7ff], [0xe000, 0x10ffff]);
const ESCAPED: CharSet = charSet([0, 0x1f], [0x22, 0x22], [0x5c, 0x5c]);
/** The two digits after "\\u00" of the control characters that have no one-letter escape. */
const CONTROLS: readonly string[] = Array.from({ length: 0x20 }, (_, c) =>
  JSON.stringify(String.fromCharCode(c)),
).flatMap((text) => (text.length > 4 ? [text.slice(5, 7)] : []));
/** Most states of the beginning of a text, before the characters of one set that are counted. */
const MAX_BEGINNING = 300;
const DIGIT = charSet([0x30, 0x39]);
const HEX = charSet([0x30, 0x39], [0x41, 0x46], [0x61, 0x66]);

/**
 * Most digits before and after the point of an unconstrained number: any such number is finite, and
 * integers are exact.
 */
export const INTEGER_DIGITS = 15;

/** The rules that grammars of JSON share. Each is added to the grammar on first use. */
export class JsonText {
  readonly #rules: Rules;

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  #shared(name: string, body: () => readonly (readonly Term[])[]): Term {
    if (!this.#rules.has(name)) {
      this.#rules.set(name, []);
      this.#rules.set(name, body());
    }
    return { rule: name };
  }

  /**
   * White space: nothing, a space, or a line break with indentation. Bounded, so that a model
   * cannot write it forever.
   */
  get space(): Term {
    return this.#shared("space", () => [
      [],
      [{ text: " " }],
      [{ text: "\n" }, { of: [{ text: " " }], min: 0, max: 16 }],
    ]);
  }

  get comma(): Term {
    return this.#shared("comma", () => [[{ text: "," }, this.space]]);
  }

  get colon(): Term {
    return this.#shared("colon", () => [[{ text: ":" }, this.space]]);
  }

  /** One character of a string, escapes included. */
  get #character(): Term {
    const short = charSet(...Array.from('"\\/bfnrt', (c) => [c.charCodeAt(0), c.charCodeAt(0)] as const));
    return { any: [[{ set: RAW }], [{ text: "\\" }, { set: short }], [{ text: "\\u" }, this.#unit]] };
  }

  /** Four hexadecimal digits that are not a surrogate, or a pair of surrogates. */
  get #unit(): Term {
    const hex: Term = { set: HEX };
    const d: Term = { set: charSet([0x44, 0x44], [0x64, 0x64]) };
    const high: Term = { set: charSet([0x38, 0x39], [0x41, 0x42], [0x61, 0x62]) };
    const low: Term = { set: charSet([0x43, 0x46], [0x63, 0x66]) };
    const notD: Term = { set: charSet([0x30, 0x39], [0x41, 0x43], [0x45, 0x46], [0x61, 0x63], [0x65, 0x66]) };
    return this.#shared("unit", () => [
      [notD, hex, hex, hex],
      [d, { set: charSet([0x30, 0x37]) }, hex, hex],
      [d, high, hex, hex, { text: "\\u" }, d, low, hex, hex],
    ]);
  }

  get #control(): Term {
    return this.#shared("control", () => CONTROLS.map((text) => [{ text }]));
  }

  get string(): Term {
    return this.#shared("string", () => [[{ text: '"' }, { of: [this.#character], min: 0, max: null }, { text: '"' }]]);
  }

  get integer(): Term {
    const some: Term = { of: [{ set: DIGIT }], min: 0, max: INTEGER_DIGITS - 1 };
    const digits = this.#shared("digits", () => [[{ text: "0" }], [{ set: charSet([0x31, 0x39]) }, some]]);
    return this.#shared("integer", () => [[digits], [{ text: "-" }, digits]]);
  }

  /** Any number whose exponent has at most two digits: all of these are finite. */
  get number(): Term {
    const fraction = [{ text: "." }, { of: [{ set: DIGIT }], min: 1, max: INTEGER_DIGITS }];
    const sign: Term = { of: [{ set: charSet([0x2b, 0x2b], [0x2d, 0x2d]) }], min: 0, max: 1 };
    const e: Term = { set: charSet([0x45, 0x45], [0x65, 0x65]) };
    const exponent: Term[] = [e, sign, { of: [{ set: DIGIT }], min: 1, max: 2 }];
    return this.#shared("number", () => [
      [this.integer, { of: fraction, min: 0, max: 1 }, { of: exponent, min: 0, max: 1 }],
    ]);
  }

  /** Any value. */
  get value(): Term {
    const list = (one: readonly Term[]): Term => ({
      of: [...one, { of: [this.comma, ...one], min: 0, max: null }, this.space],
      min: 0,
      max: 1,
    });
    return this.#shared("value", () => [
      ...["null", "true", "false"].map((text) => [{ text }]),
      [this.number],
      [this.string],
      [{ text: "[" }, this.space, list([{ rule: "value" }]), { text: "]" }],
      [this.object],
    ]);
  }

  get object(): Term {
    const member: Term[] = [this.string, this.colon, { rule: "value" }];
    return this.#shared("object", () => {
      void this.value; // a member refers to it
      const members = [...member, { of: [this.comma, ...member], min: 0, max: null }, this.space];
      return [[{ text: "{" }, this.space, { of: members, min: 0, max: 1 }, { text: "}" }]];
    });
  }

  /** A string of `min` to `max` characters. */
  sized(min: number, max: number | null): Term {
    return this.#shared(`sized_${min}_${max ?? ""}`, () => [
      [{ text: '"' }, { of: [this.#character], min, max }, { text: '"' }],
    ]);
  }

  /** A string whose text the automaton accepts, quotes included, in its shortest spelling. */
  spelled(dfa: Dfa): Term {
    return this.#states(dfa, '"', '"', (chars, to) => this.#spellings(chars).map((one) => [...one, to]));
  }

  /** One character of a set, in its shortest spelling, as alternatives. */
  #spellings(chars: CharSet): Term[][] {
    const out: Term[][] = [];
    const raw = intersect(chars, RAW);
    if (raw.length > 0) out.push([{ set: raw }]);
    const escapes = pairs(intersect(chars, ESCAPED)).flatMap(([lo, hi]) =>
      Array.from({ length: hi - lo + 1 }, (_, i) => JSON.stringify(String.fromCodePoint(lo + i)).slice(1, -1)),
    );
    // One-letter escapes are a set; the others are a shared rule where all of them are allowed, as
    // they usually are.
    const short = escapes.flatMap((text) => (text.length === 2 ? [text.charCodeAt(1)] : []));
    if (short.length > 0) out.push([{ text: "\\" }, { set: charSet(...short.map((c) => [c, c] as const)) }]);
    const long = escapes.filter((text) => text.length > 2);
    if (long.length === CONTROLS.length) out.push([{ text: "\\u00" }, this.#control]);
    else out.push(...long.map((text) => [{ text }]));
    return out;
  }

  /**
   * As spelled(), with `min` to `max` characters, for texts that are a beginning followed
   * by characters of one set: the latter are counted as repetitions, not as states. Null
   * for other automata.
   */
  counted(dfa: Dfa, min: number, max: number | null): Term | null {
    const lives = alive(dfa);
    const known = new Map<string, Term>();
    const open = new Set<number>();
    const ways = (state: number): [number, CharSet][] => [...exits(dfa, state)].filter(([to]) => lives[to]);
    const close: Term = { text: '"' };
    const after = (state: number, depth: number): Term | null => {
      const key = `${state} ${depth}`;
      const found = known.get(key);
      if (found) return found;
      if (open.has(state) || known.size > MAX_BEGINNING) return null;
      open.add(state);
      const next = ways(state);
      const body: Term[][] = [];
      const [only] = next;
      if (dfa.accepts[state] && next.length === 1 && only![0] === state) {
        const one: Term = { any: this.#spellings(only![1]) };
        const most = max === null ? null : max - depth;
        if (most === null || most >= 0) body.push([{ of: [one], min: Math.max(0, min - depth), max: most }, close]);
      } else {
        if (dfa.accepts[state] && depth >= min) body.push([close]);
        for (const [to, chars] of max !== null && depth >= max ? [] : next) {
          const rest = after(to, depth + 1);
          if (rest === null) return null;
          body.push(...this.#spellings(chars).map((one) => [...one, rest]));
        }
      }
      open.delete(state);
      const term = this.#rules.add("t", body);
      known.set(key, term);
      return term;
    };
    const first = lives[0] ? after(0, 0) : null;
    return first && this.#rules.add("s", [[close, first]]);
  }

  /** A text that the automaton accepts, unquoted. */
  plain(dfa: Dfa): Term {
    const valid = charSet([0, 0xd7ff], [0xe000, 0x10ffff]);
    return this.#states(dfa, "", "", (chars, to) => [[{ set: intersect(chars, valid) }, to]]);
  }

  #states(dfa: Dfa, open: string, close: string, spell: (chars: CharSet, to: Term) => Term[][]): Term {
    const lives = alive(dfa);
    if (!lives[0]) return this.#rules.add("none", []);
    const names = dfa.accepts.map((_, state) => (lives[state] ? this.#rules.fresh("t") : ""));
    for (const [state, name] of names.entries()) {
      if (name === "") continue;
      const body: Term[][] = dfa.accepts[state] ? [[{ text: close }]] : [];
      for (const [to, chars] of exits(dfa, state)) if (lives[to]) body.push(...spell(chars, { rule: names[to]! }));
      this.#rules.set(name, body);
    }
    return this.#rules.add("s", [[{ text: open }, { rule: names[0]! }]]);
  }
}
