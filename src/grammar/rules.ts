// A context-free grammar as values, cleaned of what can derive nothing, and printed as the EBNF that xgrammar reads.

import { type CharSet, charSet, complement, intersect, pairs, utf8Sequences } from "./char_set.ts";
import { Unsupported } from "./unsupported.ts";

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

const MAX_RULES = 20_000;
const ASCII: CharSet = [0, 0x7f];

export class Rules {
  readonly #bodies = new Map<string, Body>();

  has(name: string): boolean {
    return this.#bodies.has(name);
  }

  /** A name for a rule that is given its body later. */
  fresh(prefix: string): string {
    const name = `${prefix}${this.#bodies.size}`;
    this.set(name, []);
    return name;
  }

  set(name: string, body: Body): void {
    if (this.#bodies.size >= MAX_RULES) throw new Unsupported("a schema of so many states");
    this.#bodies.set(name, body);
  }

  add(prefix: string, body: Body): Term {
    const name = this.fresh(prefix);
    this.set(name, body);
    return { rule: name };
  }

  /** The grammar from `root` on, or null if it derives no text at all. */
  print(root: string): Printed | null {
    const productive = this.#productive();
    if (!productive.has(root)) return null;
    const lines: string[] = [];
    const sets: CharSet[] = [];
    const wide = new Map<string, string>();
    const spell = (set: CharSet): string => {
      sets.push(set);
      const parts: string[] = [];
      const ascii = pairs(intersect(set, ASCII));
      if (ascii.length > 0) parts.push(printBytes(ascii));
      const beyond = intersect(set, complement(ASCII));
      if (beyond.length > 0) {
        const key = beyond.join();
        if (!wide.has(key)) wide.set(key, `utf8_${wide.size}`);
        parts.push(wide.get(key)!);
      }
      return parts.length === 1 ? parts[0]! : `(${parts.join(" | ")})`;
    };
    const todo = [root];
    const seen = new Set(todo);
    const refer = (name: string): void => {
      if (seen.has(name)) return;
      seen.add(name);
      todo.push(name);
    };
    for (const name of todo) {
      const alternatives = this.#bodies.get(name)!.flatMap((sequence) => {
        const kept = clean(sequence, productive);
        return kept === null ? [] : [kept];
      });
      lines.push(`${name === root ? "root" : name} ::= ${printChoice(alternatives, { refer, spell, sets })}`);
    }
    for (const [key, name] of wide) lines.push(`${name} ::= ${printUtf8(utf8Sequences(key.split(",").map(Number)))}`);
    return { text: `${lines.join("\n")}\n`, sets };
  }

  /** Names of rules that derive some text: the least fixed point. */
  #productive(): Set<string> {
    const done = new Set<string>();
    const users = new Map<string, string[]>();
    for (const [name, body] of this.#bodies)
      for (const used of rulesIn(body)) users.set(used, [...(users.get(used) ?? []), name]);
    let todo = [...this.#bodies.keys()];
    while (todo.length > 0) {
      const next = new Set<string>();
      for (const name of todo) {
        if (done.has(name) || !this.#bodies.get(name)!.some((sequence) => clean(sequence, done) !== null)) continue;
        done.add(name);
        for (const user of users.get(name) ?? []) next.add(user);
      }
      todo = [...next];
    }
    return done;
  }
}

export interface Printed {
  readonly text: string;
  /** The character class of each place in the grammar that has one: what compiling costs goes by them. */
  readonly sets: readonly CharSet[];
}

function* rulesIn(body: Body): Generator<string> {
  for (const sequence of body) {
    for (const term of sequence) {
      if ("rule" in term) yield term.rule;
      else if ("of" in term) yield* rulesIn([term.of]);
      else if ("any" in term) yield* rulesIn(term.any);
    }
  }
}

/** The sequence without what can only be left out, or null if it derives nothing. */
function clean(sequence: readonly Term[], productive: ReadonlySet<string>): Term[] | null {
  const out: Term[] = [];
  for (const term of sequence) {
    if ("rule" in term && !productive.has(term.rule)) return null;
    if ("set" in term && term.set.length === 0) return null;
    if ("of" in term) {
      const inner = clean(term.of, productive);
      if (inner === null && term.min > 0) return null;
      if (inner === null || term.max === 0) continue;
      out.push({ ...term, of: inner });
    } else if ("any" in term) {
      const any = term.any.flatMap((terms) => {
        const kept = clean(terms, productive);
        return kept === null ? [] : [kept];
      });
      if (any.length === 0) return null;
      out.push({ any });
    } else out.push(term);
  }
  return out;
}

interface Printer {
  readonly refer: (name: string) => void;
  readonly spell: (set: CharSet) => string;
  readonly sets: CharSet[];
}

function printSequence(sequence: readonly Term[], printer: Printer): string {
  const { refer, spell, sets } = printer;
  const parts = sequence.map((term) => {
    if ("text" in term) return quote(term.text);
    if ("rule" in term) {
      refer(term.rule);
      return term.rule;
    }
    if ("set" in term) return spell(term.set);
    if ("any" in term) return `(${printChoice(term.any, printer)})`;
    const before = sets.length;
    const inner = printSequence(term.of, printer);
    const own = sets.slice(before);
    const copies = Math.max(term.min, term.max ?? 0, 1);
    if (own.length * copies > MAX_RULES) throw new Unsupported("so many repetitions");
    for (let i = 1; i < copies && own.length > 0; i++) sets.push(...own);
    return `(${inner})${term.max === null ? (term.min === 0 ? "*" : `{${term.min},}`) : `{${term.min},${term.max}}`}`;
  });
  return parts.length === 0 ? '""' : parts.join(" ");
}

/** A text as a literal of the grammar. */
export function quote(text: string): string {
  const body = Array.from(text, (c) => (/[ !#-[\]-~]/.test(c) ? c : escapePoint(c.codePointAt(0)!)));
  return `"${body.join("")}"`;
}

type Range = readonly [number, number];

/**
 * A class of bytes. xgrammar's classes are of bytes, not of characters, so what is beyond ASCII is spelled in UTF-8, by a rule
 * that all classes with the same characters share. A class of one byte beyond ASCII it takes for a character: said twice it
 * does not. Its escapes take any hexadecimal digits that follow, hence eight of them.
 */
function printBytes(ranges: readonly Range[]): string {
  const byte = (b: number): string => {
    const c = String.fromCharCode(b);
    return /[A-Za-z0-9 ]/.test(c) ? c : escapePoint(b);
  };
  return `[${ranges.map(([lo, hi]) => (lo === hi ? byte(lo).repeat(lo < 128 ? 1 : 2) : `${byte(lo)}-${byte(hi)}`)).join("")}]`;
}

/** What follows byte ranges that are still to come: a printed tail. */
interface Branch {
  readonly ranges: readonly Range[];
  readonly tail: string;
}

/** Byte ranges as a tree, in which no two branches begin with the same byte. */
function printTree(branches: readonly Branch[]): string {
  const byFirst = new Map<number, number[]>();
  const ends = new Set<string>();
  for (const [i, { ranges, tail }] of branches.entries()) {
    const first = ranges[0];
    if (!first) ends.add(tail);
    else for (let byte = first[0]; byte <= first[1]; byte++) byFirst.set(byte, [...(byFirst.get(byte) ?? []), i]);
  }
  // Bytes that begin the same branches go on alike: printed once, not for each of the 64 that may continue a character.
  const known = new Map<string, string>();
  const byRest = new Map<string, number[]>();
  for (const [byte, own] of byFirst) {
    const key = own.join();
    const rest =
      known.get(key) ?? printTree(own.map((i) => ({ ranges: branches[i]!.ranges.slice(1), tail: branches[i]!.tail })));
    known.set(key, rest);
    byRest.set(rest, [...(byRest.get(rest) ?? []), byte]);
  }
  const parts = [...byRest].map(
    ([rest, bytes]) => `${printBytes(pairs(charSet(...bytes.map((b) => [b, b] as const))))} ${rest}`,
  );
  const all = [...ends, ...parts];
  return all.length === 1 ? all[0]! : `(${all.join(" | ")})`;
}

function printUtf8(sequences: readonly (readonly Range[])[]): string {
  return printTree(sequences.map((ranges) => ({ ranges, tail: "" })));
}

/**
 * Alternatives. Where several begin with characters beyond ASCII they become a tree of bytes: of many that begin with the same
 * such byte xgrammar mixes up the ends.
 */
function printChoice(body: Body, printer: Printer): string {
  const beyond = body.filter(([first]) => first && startsBeyondAscii(first)).length;
  if (beyond < 2) return [...new Set(body.map((terms) => printSequence(terms, printer)))].join(" | ");
  const branches: Branch[] = [];
  const others: string[] = [];
  for (const [first, ...rest] of body) {
    if (first && "text" in first) {
      const ranges = [...new TextEncoder().encode(first.text)].map((byte) => [byte, byte] as const);
      branches.push({ ranges, tail: printSequence(rest, printer) });
    } else if (first && "set" in first) {
      printer.sets.push(first.set);
      const tail = printSequence(rest, printer);
      for (const ranges of utf8Sequences(first.set)) branches.push({ ranges, tail });
    } else others.push(printSequence(first ? [first, ...rest] : [], printer));
  }
  return [...new Set(others), printTree(branches)].join(" | ");
}

function startsBeyondAscii(term: Term): boolean {
  if ("text" in term) return /[^\0-\x7f]/.test(term.text);
  return "set" in term && term.set[term.set.length - 1]! > 0x7f;
}

function escapePoint(point: number): string {
  return `\\U${point.toString(16).padStart(8, "0")}`;
}
