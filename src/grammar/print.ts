// Prints a grammar as the EBNF that xgrammar reads. Only this file and right.ts know the oddities
// of xgrammar.

import { type CharSet, charSet, pairs, utf8Sequences } from "./char_set.ts";
import { closedRules, followingBytes } from "./follow.ts";
import { isWide, MAX_RULES, type Rule } from "./right.ts";
import type { Body, Term } from "./terms.ts";
import { Unsupported } from "./unsupported.ts";

export interface Printed {
  readonly text: string;
  /** The character class of each place that has one: the cost of compiling depends on them. */
  readonly sets: readonly CharSet[];
  /** The rules that were printed. */
  readonly rules: ReadonlyMap<string, Rule>;
}

/** Prints the rules that `root` needs; `root` itself gets the name "root". */
export function printGrammar(rules: ReadonlyMap<string, Rule>, root: string): Printed {
  return new Printer(rules, root).print();
}

class Printer {
  readonly #rules: ReadonlyMap<string, Rule>;
  readonly #root: string;
  readonly #follow: ReadonlyMap<string, readonly number[]>;
  readonly #lines: string[] = [];
  readonly #sets: CharSet[] = [];
  readonly #todo: string[];
  readonly #seen: Set<string>;
  /** Shared rules for the last bytes of characters beyond ASCII, by their text. */
  readonly #ends = new Map<string, string>();
  readonly #trees = new Map<string, Tree>();

  constructor(rules: ReadonlyMap<string, Rule>, root: string) {
    this.#rules = rules;
    this.#root = root;
    this.#follow = followingBytes(rules);
    this.#todo = [root];
    this.#seen = new Set(this.#todo);
  }

  print(): Printed {
    const referred = referredOnce(this.#rules);
    const closed = closedRules(this.#rules);
    for (const name of this.#todo) {
      const { body, apart } = this.#rules.get(name)!;
      const tried = referred.has(name) || closed.has(name);
      const ahead = apart ? printAhead([]) : tried ? "" : printAhead(this.#follow.get(name)!);
      this.#lines.push(`${name === this.#root ? "root" : name} ::= ${this.#choice(body, ahead)}${ahead}`);
    }
    return { text: `${this.#lines.join("\n")}\n`, sets: this.#sets, rules: this.#rules };
  }

  #sequence(sequence: readonly Term[]): string {
    const parts = sequence.map((term) => {
      if ("text" in term) return quote(term.text);
      if ("rule" in term) return this.#refer(term.rule);
      if ("set" in term) {
        this.#sets.push(term.set);
        return printBytes(pairs(term.set));
      }
      if ("any" in term) throw new Error("a choice within a sequence was left");
      const before = this.#sets.length;
      const inner = this.#sequence(term.of);
      const own = this.#sets.slice(before);
      const copies = Math.max(term.min, term.max ?? 0, 1);
      if (own.length * copies > MAX_RULES) throw new Unsupported("so many repetitions");
      for (let i = 1; i < copies && own.length > 0; i++) this.#sets.push(...own);
      return `(${inner})${term.max === null ? (term.min === 0 ? "*" : `{${term.min},}`) : `{${term.min},${term.max}}`}`;
    });
    return parts.length === 0 ? '""' : parts.join(" ");
  }

  #refer(name: string): string {
    if (!this.#seen.has(name)) {
      this.#seen.add(name);
      this.#todo.push(name);
    }
    return name === this.#root ? "root" : name;
  }

  /**
   * Alternatives. Those that begin with characters beyond ASCII become a tree of bytes: where many
   * begin with the same such byte, xgrammar mixes up their ends.
   */
  #choice(body: Body, ahead: string): string {
    const [branches, tails]: [Branch[], string[]] = [[], []];
    const others = new Set<string>();
    let key = "";
    for (const terms of body) {
      const [first, ...rest] = terms;
      const text = first && "text" in first && /[^\0-\x7f]/.test(first.text) ? first.text : null;
      const set = first && "set" in first && isWide(first.set) ? first.set : null;
      if (text === null && set === null) {
        others.add(this.#sequence(terms));
        continue;
      }
      if (set !== null) this.#sets.push(set);
      const sequences =
        text === null ? utf8Sequences(set!) : [[...new TextEncoder().encode(text)].map((b) => [b, b] as const)];
      for (const ranges of sequences) branches.push({ alternative: tails.length, ranges });
      tails.push(this.#sequence(rest));
      key += `${text === null ? set!.join() : quote(text)};`;
    }
    if (branches.length === 0) return [...others].join(" | ");
    let tree = this.#trees.get(key);
    if (!tree) {
      tree = treeOf(branches);
      this.#trees.set(key, tree);
    }
    return [...others, ...this.#branches(tree, tails, ahead)].join(" | ");
  }

  #branches({ ends, parts }: Tree, tails: readonly string[], ahead: string): string[] {
    return [
      ...new Set(ends.map((alternative) => tails[alternative]!)),
      ...parts.map(([bytes, rest]) => `${bytes} ${this.#end(rest, tails, ahead)}`),
    ];
  }

  /**
   * The bytes after the first one of a character: a rule of their own, unless they are short and
   * one alternative.
   */
  #end(tree: Tree, tails: readonly string[], ahead: string): string {
    const parts = this.#branches(tree, tails, ahead);
    const [only] = parts;
    if (parts.length === 1 && only!.length < 40) return only!;
    const text = `${parts.join(" | ")}${ahead}`;
    let name = this.#ends.get(text);
    if (name === undefined) {
      name = `end_${this.#ends.size}`;
      this.#ends.set(text, name);
      this.#lines.push(`${name} ::= ${text}`);
    }
    return name;
  }
}

/** Byte sequences as a tree in which no two branches begin with the same byte. */
interface Tree {
  /** Alternatives that end here. */
  readonly ends: readonly number[];
  /** A printed class of bytes, and what comes after it. */
  readonly parts: readonly (readonly [string, Tree])[];
  /** Equal for equal trees. */
  readonly key: string;
}

interface Branch {
  readonly alternative: number;
  readonly ranges: readonly Range[];
}

/** @param at how many bytes of the branches are already consumed */
function treeOf(branches: readonly Branch[], at = 0): Tree {
  const ends = new Set<number>();
  const byFirst = Array.from({ length: 256 }, (): number[] => []);
  for (const [i, { alternative, ranges }] of branches.entries()) {
    const range = ranges[at];
    if (!range) ends.add(alternative);
    else for (let byte = range[0]; byte <= range[1]; byte++) byFirst[byte]!.push(i);
  }
  // Bytes that begin the same branches continue alike; so may other bytes.
  const known = new Map<string, Tree>();
  const byRest = new Map<string, { readonly rest: Tree; readonly bytes: number[] }>();
  for (const [byte, own] of byFirst.entries()) {
    if (own.length === 0) continue;
    const key = own.join();
    let rest = known.get(key);
    if (!rest) {
      rest = treeOf(
        own.map((i) => branches[i]!),
        at + 1,
      );
      known.set(key, rest);
    }
    const same = byRest.get(rest.key);
    if (same) same.bytes.push(byte);
    else byRest.set(rest.key, { rest, bytes: [byte] });
  }
  const parts = [...byRest.values()].map(({ rest, bytes }) => [printBytes(pairs(bytesAsSet(bytes))), rest] as const);
  return { ends: [...ends], parts, key: `${[...ends]}(${parts.map(([bytes, rest]) => bytes + rest.key).join()})` };
}

/**
 * Rules that only one place refers to, with something behind it: what may follow them xgrammar
 * finds out itself.
 */
function referredOnce(rules: ReadonlyMap<string, Rule>): Set<string> {
  const once = new Set<string>();
  const others = new Set<string>();
  const refer = (name: string, within: boolean): void => {
    if (once.has(name) || !within) others.add(name);
    once.add(name);
  };
  for (const [name, { body }] of rules) {
    for (const terms of body) {
      for (const [i, term] of terms.entries()) {
        if ("of" in term) {
          for (const part of term.of) if ("rule" in part) refer(part.rule, false);
        } else if ("rule" in term && !(i === terms.length - 1 && term.rule === name))
          refer(term.rule, i < terms.length - 1);
      }
    }
  }
  for (const name of others) once.delete(name);
  return once;
}

/** An assertion about the byte after a rule. xgrammar has none for bytes beyond ASCII. */
function printAhead(bytes: readonly number[]): string {
  if (bytes.length === 0) return " (= [\\x01])"; // a byte that never comes: only the end may follow
  return bytes[bytes.length - 1]! > 0x7f ? "" : ` (= ${printBytes(pairs(bytesAsSet(bytes)))})`;
}

/** A text as a literal of the grammar. */
function quote(text: string): string {
  const body = Array.from(text, (c) => (/[ !#-[\]-~]/.test(c) ? c : escapePoint(c.codePointAt(0)!)));
  return `"${body.join("")}"`;
}

type Range = readonly [number, number];

function bytesAsSet(bytes: readonly number[]): CharSet {
  return charSet(...bytes.map((byte) => [byte, byte] as const));
}

/**
 * A class of bytes: xgrammar's classes are of bytes, not of characters. It takes a class of one
 * byte beyond ASCII for a character, unless the byte is written twice. Its \x escapes swallow any
 * hexadecimal digits that follow: before one, the eight-digit escape is used.
 */
function printBytes(ranges: readonly Range[]): string {
  const parts = ranges.flatMap(([lo, hi]) => (lo === hi ? Array<number>(lo < 128 ? 1 : 2).fill(lo) : [lo, -1, hi]));
  let out = "]";
  for (const byte of parts.reverse()) {
    const c = byte < 0 ? "-" : String.fromCharCode(byte);
    if (byte < 0 || /[A-Za-z0-9 ]/.test(c)) out = c + out;
    else out = (/^[0-9A-Fa-f]/.test(out) ? escapePoint(byte) : `\\x${byte.toString(16).padStart(2, "0")}`) + out;
  }
  return `[${out}`;
}

function escapePoint(point: number): string {
  return `\\U${point.toString(16).padStart(8, "0")}`;
}
