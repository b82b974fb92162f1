// Reads grammars in EBNF, so that xgrammar never gets one that is malformed, endless, or larger
// than it can handle.

import { RequestError } from "../errors.ts";
import { type CharSet, charSet, complement, NONE, union } from "./char_set.ts";
import type { Printed } from "./print.ts";
import { Rules } from "./rules.ts";
import type { Body, Term } from "./terms.ts";
import { Unsupported } from "./unsupported.ts";

const MAX_TEXT = 64 * 1024;
const MAX_DEPTH = 50;
const MAX_REPEAT = 1000;
const MAX_MIXED = 8;
const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f", v: "\v", "0": "\0" };
const NAME = /[A-Za-z_][A-Za-z0-9_.-]*/y;
const ASSIGN = /\s*::=/y;

/**
 * A grammar of rules `name ::= "text" [class] (group) other* | ...` with `#` comments, starting at
 * the rule `root`.
 * @throws RequestError with the line and column of a mistake; and for left recursion, which does
 * not terminate
 */
export function ebnfGrammar(text: string): Printed {
  if (typeof text !== "string") throw new RequestError(`ebnf: expected a text, found ${typeof text}`);
  if (text.length > MAX_TEXT) throw new RequestError(`ebnf: more than ${MAX_TEXT / 1024} KiB`);
  const bodies = new Reader(text).rules();
  if (!bodies.has("root")) throw new RequestError("ebnf: expected a rule `root`, found none");
  const rules = new Rules({ inline: true });
  for (const [name, body] of bodies) {
    for (const used of references(body))
      if (!bodies.has(used))
        throw new RequestError(`ebnf: rule \`${name}\` refers to \`${used}\`, which is not defined`);
    rules.set(ruleName(name), rename(body));
  }
  refuseLeftRecursion(bodies);
  refuseMixedEnds(bodies);
  try {
    // The rule that is printed as `root` must be one that no other rule refers to.
    rules.set("document", [[{ rule: ruleName("root") }]]);
    const printed = rules.print("document");
    if (printed === null) throw new RequestError("ebnf: the grammar derives no text: its rules have no end");
    return printed;
  } catch (error) {
    if (error instanceof Unsupported) throw new RequestError(`ebnf: ${error.message} are not supported`);
    throw error;
  }
}

/** A name that cannot collide with the names that printing makes. */
const ruleName = (name: string): string => `u_${name.replaceAll(/[^A-Za-z0-9_]/g, (c) => `_x${c.charCodeAt(0)}_`)}`;

function rename(body: Body): Body {
  return body.map((terms) =>
    terms.map((term) => {
      if ("rule" in term) return { rule: ruleName(term.rule) };
      return "of" in term ? { ...term, of: rename([term.of])[0]! } : "any" in term ? { any: rename(term.any) } : term;
    }),
  );
}

function* references(body: Body): Generator<string> {
  for (const terms of body) {
    for (const term of terms) {
      if ("rule" in term) yield term.rule;
      else if ("of" in term) yield* references([term.of]);
      else if ("any" in term) yield* references(term.any);
    }
  }
}

/**
 * Rejects rules that reach themselves before any character, and unbounded repetition of something
 * that may be empty: a parser may loop forever in either.
 */
function refuseLeftRecursion(bodies: ReadonlyMap<string, Body>): void {
  const nullable = new Set<string>();
  const empty = (term: Term): boolean => {
    if ("text" in term) return term.text === "";
    if ("rule" in term) return nullable.has(term.rule);
    if ("any" in term) return term.any.some((terms) => terms.every(empty));
    return "of" in term && (term.min === 0 || term.of.every(empty));
  };
  for (let size = -1; size !== nullable.size; ) {
    size = nullable.size;
    for (const [name, body] of bodies) if (body.some((terms) => terms.every(empty))) nullable.add(name);
  }
  const first = (body: Body): string[] =>
    body.flatMap((terms) => {
      const out: string[] = [];
      for (const term of terms) {
        if ("rule" in term) out.push(term.rule);
        else if ("of" in term) out.push(...first([term.of]));
        else if ("any" in term) out.push(...first(term.any));
        if (!empty(term)) break;
      }
      return out;
    });
  const before = new Map([...bodies].map(([name, body]) => [name, new Set(first(body))]));
  for (const name of bodies.keys()) {
    const seen = new Set<string>();
    const stack = [...before.get(name)!];
    while (stack.length > 0) {
      const next = stack.pop()!;
      if (next === name)
        throw new RequestError(`ebnf: rule \`${name}\` begins with itself (left recursion); write it with * or +`);
      if (seen.has(next)) continue;
      seen.add(next);
      stack.push(...before.get(next)!);
    }
  }
  const repeats = (body: Body, name: string): void => {
    for (const term of body.flat()) {
      if ("any" in term) repeats(term.any, name);
      if (!("of" in term)) continue;
      if (term.max === null && term.of.every(empty))
        throw new RequestError(`ebnf: rule \`${name}\` repeats what may be empty without end`);
      repeats([term.of], name);
    }
  };
  for (const [name, body] of bodies) repeats(body, name);
}

/**
 * Rejects too many alternatives that are rules which begin beyond ASCII: xgrammar mixes up their
 * ends, and only alternatives that are texts themselves can be written as a tree of bytes.
 */
function refuseMixedEnds(bodies: ReadonlyMap<string, Body>): void {
  const begins = (body: Body, depth: number): boolean =>
    body.some(([first]) => {
      if (!first || depth > MAX_DEPTH) return false;
      if ("text" in first) return /[^\0-\x7f]/.test(first.text);
      if ("rule" in first) return begins(bodies.get(first.rule)!, depth + 1);
      return "any" in first ? begins(first.any, depth + 1) : "of" in first && begins([first.of], depth + 1);
    });
  const check = (body: Body, name: string): void => {
    const rules = body.filter(([first]) => first && "rule" in first && begins(bodies.get(first.rule)!, 0));
    if (rules.length > MAX_MIXED)
      throw new RequestError(
        `ebnf: rule \`${name}\` has ${rules.length} alternatives that are rules which begin beyond ASCII, of which ${MAX_MIXED} are supported; write their texts as alternatives`,
      );
    for (const term of body.flat()) {
      if ("any" in term) check(term.any, name);
      else if ("of" in term) check([term.of], name);
    }
  };
  for (const [name, body] of bodies) check(body, name);
}

class Reader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  rules(): Map<string, Body> {
    const out = new Map<string, Body>();
    this.#blank();
    while (this.#at < this.#text.length) {
      const name = this.#match(NAME) ?? this.#fail("expected the name of a rule");
      if (this.#match(ASSIGN) === null) this.#fail("expected ::=");
      if (out.has(name)) this.#fail(`rule \`${name}\` is defined twice`);
      this.#blank();
      out.set(name, this.#choice());
    }
    return out;
  }

  #choice(): Body {
    if (++this.#depth > MAX_DEPTH) this.#fail(`groups nested more than ${MAX_DEPTH} deep`);
    const body = [this.#sequence()];
    while (this.#take("|")) body.push(this.#sequence());
    this.#depth--;
    return body;
  }

  #sequence(): Term[] {
    const terms: Term[] = [];
    for (;;) {
      this.#blank();
      const c = this.#text[this.#at];
      if (c === undefined || c === "|" || c === ")" || this.#atRule()) return terms;
      terms.push(this.#repeated(this.#term(c)));
    }
  }

  /** Whether the next rule begins here. */
  #atRule(): boolean {
    const start = this.#at;
    const found = this.#match(NAME) !== null && this.#match(ASSIGN) !== null;
    this.#at = start;
    return found;
  }

  #term(c: string): Term {
    if (c === '"' || c === "'") {
      this.#at++;
      let text = "";
      while (this.#text[this.#at] !== c) text += String.fromCodePoint(this.#character("a text"));
      this.#at++;
      return { text };
    }
    if (c === "[") {
      this.#at++;
      return { set: this.#class() };
    }
    if (c === "(") {
      this.#at++;
      const any = this.#choice();
      if (!this.#take(")")) this.#fail("expected )");
      return { any };
    }
    const rule = this.#match(NAME) ?? this.#fail("expected a text, a class, a group or the name of a rule");
    return { rule };
  }

  #repeated(term: Term): Term {
    const found = this.#match(/[*+?]|\{\s*\d+\s*(,\s*\d*\s*)?\}/y);
    if (found === null) return term;
    if (found === "*") return { of: [term], min: 0, max: null };
    if (found === "+") return { of: [term], min: 1, max: null };
    if (found === "?") return { of: [term], min: 0, max: 1 };
    const [low = "", high] = found.slice(1, -1).split(",");
    const min = Number(low);
    const max = high === undefined ? min : high.trim() === "" ? null : Number(high);
    if (min > MAX_REPEAT || (max ?? 0) > MAX_REPEAT) this.#fail(`more than ${MAX_REPEAT} repetitions`);
    if (max !== null && max < min) this.#fail("a repetition whose most is below its least");
    return { of: [term], min, max };
  }

  #class(): CharSet {
    const negated = this.#text[this.#at] === "^";
    if (negated) this.#at++;
    let out: CharSet = NONE;
    while (this.#text[this.#at] !== "]") {
      const low = this.#character("a class");
      let high = low;
      if (this.#text[this.#at] === "-" && this.#text[this.#at + 1] !== "]") {
        this.#at++;
        high = this.#character("a class");
        if (high < low) this.#fail("a range whose end is before its start");
      }
      out = union(out, charSet([low, high]));
    }
    this.#at++;
    return negated ? complement(out) : out;
  }

  #character(where: string): number {
    const point = this.#text.codePointAt(this.#at);
    if (point === undefined || point === 10) this.#fail(`${where} that does not end`);
    this.#at += point! > 0xffff ? 2 : 1;
    if (point !== 0x5c) return point!;
    const code = this.#match(/x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}/y);
    if (code !== null) {
      const value = Number.parseInt(code.slice(1), 16);
      if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) this.#fail("no character of Unicode");
      return value;
    }
    const c = this.#text[this.#at++] ?? this.#fail(`${where} that does not end`);
    if (/[A-Za-z0-9]/.test(c) && !(c in ESCAPES)) this.#fail(`the escape \\${c}, which is not known`);
    return (ESCAPES[c] ?? c).codePointAt(0)!;
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (!found) return null;
    this.#at += found[0].length;
    return found[0];
  }

  #take(c: string): boolean {
    this.#blank();
    if (this.#text[this.#at] !== c) return false;
    this.#at++;
    return true;
  }

  /** White space and comments. */
  #blank(): void {
    this.#match(/(?:\s|#[^\n]*)*/y);
  }

  #fail(what: string): never {
    const before = this.#text.slice(0, this.#at).split("\n");
    throw new RequestError(`ebnf: line ${before.length}, column ${before.at(-1)!.length + 1}: ${what}`);
  }
}
