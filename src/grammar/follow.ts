// Which bytes may follow each rule of a grammar: tokens that continue with any other byte need not
// be tried.

import { utf8Sequences } from "./char_set.ts";
import type { Rule } from "./right.ts";
import type { Body, Term } from "./terms.ts";

/** A set of bytes: bit b is set for byte b. */
type Bytes = bigint;

/**
 * For each rule the bytes that may follow its end, ascending; none where only the end of
 * the text may.
 */
export function followingBytes(rules: ReadonlyMap<string, Rule>): Map<string, readonly number[]> {
  const { first, nullable } = firstBytes(rules);
  const follow = new Map<string, Bytes>();
  /** By rule: rules that may end where it ends. */
  const tails = new Map<string, string[]>();
  const add = (name: string, bytes: Bytes): void => {
    follow.set(name, (follow.get(name) ?? 0n) | bytes);
  };
  const addTail = (owner: string, tail: string): void => {
    const known = tails.get(owner);
    if (known) known.push(tail);
    else tails.set(owner, [tail]);
  };
  const visit = (owner: string, body: Body): void => {
    for (const terms of body) {
      // bytes that may follow the term, and whether the owner may end there
      let [after, open] = [0n, true];
      for (let i = terms.length - 1; i >= 0; i--) {
        const term = terms[i]!;
        if ("of" in term) {
          after |= term.of.reduceRight((sum, part) => first.term(part) | (nullable.term(part) ? sum : 0n), after);
          visitPart(owner, term.of, after, open);
        } else if ("rule" in term) {
          add(term.rule, after);
          if (open) addTail(owner, term.rule);
        }
        if (nullable.term(term)) after |= first.term(term);
        else [after, open] = [first.term(term), false];
      }
    }
  };
  const visitPart = (owner: string, terms: readonly Term[], after: Bytes, open: boolean): void => {
    for (const term of terms) {
      if (!("rule" in term)) continue;
      add(term.rule, after);
      if (open) addTail(owner, term.rule);
    }
  };
  for (const [name, { body }] of rules) visit(name, body);
  const todo = [...rules.keys()];
  const waiting = new Set(todo);
  for (const name of todo) {
    waiting.delete(name);
    const own = follow.get(name) ?? 0n;
    for (const tail of new Set(tails.get(name))) {
      const before = follow.get(tail) ?? 0n;
      if ((before | own) === before) continue;
      follow.set(tail, before | own);
      if (waiting.has(tail)) continue;
      waiting.add(tail);
      todo.push(tail);
    }
  }
  return new Map([...rules.keys()].map((name) => [name, listed(follow.get(name) ?? 0n)]));
}

/** Rules all of whose texts end with a fixed text, such as a quote: few tokens continue past it. */
export function closedRules(rules: ReadonlyMap<string, Rule>): Set<string> {
  const open = new Set<string>();
  const isOpen = (terms: readonly Term[]): boolean => {
    const last = terms[terms.length - 1];
    if (!last || "text" in last) return !last || last.text === "";
    return "rule" in last ? open.has(last.rule) : true;
  };
  for (let size = -1; size !== open.size; ) {
    size = open.size;
    for (const [name, { body }] of rules) if (body.some(isOpen)) open.add(name);
  }
  return new Set([...rules.keys()].filter((name) => !open.has(name)));
}

interface Of<T> {
  readonly term: (term: Term) => T;
}

function firstBytes(rules: ReadonlyMap<string, Rule>): { first: Of<Bytes>; nullable: Of<boolean> } {
  const empty = new Set<string>();
  const known = new Map<string, Bytes>();
  const sets = new Map<readonly number[], Bytes>();
  const nullable = (term: Term): boolean => {
    if ("text" in term) return term.text === "";
    if ("rule" in term) return empty.has(term.rule);
    if ("of" in term) return term.min === 0 || term.of.every(nullable);
    return "any" in term && term.any.some((terms) => terms.every(nullable));
  };
  const first = (term: Term): Bytes => {
    if ("text" in term) return term.text === "" ? 0n : 1n << BigInt(new TextEncoder().encode(term.text)[0]!);
    if ("rule" in term) return known.get(term.rule) ?? 0n;
    if ("of" in term) return start(term.of);
    if ("any" in term) return term.any.reduce((sum, terms) => sum | start(terms), 0n);
    let found = sets.get(term.set);
    if (found === undefined) {
      found = 0n;
      for (const [range] of utf8Sequences(term.set))
        for (let byte = range![0]; byte <= range![1]; byte++) found |= 1n << BigInt(byte);
      sets.set(term.set, found);
    }
    return found;
  };
  const start = (terms: readonly Term[]): Bytes => {
    let sum = 0n;
    for (const term of terms) {
      sum |= first(term);
      if (!nullable(term)) break;
    }
    return sum;
  };
  // Rules come before the rules that they are made of, so going from last to first
  // takes few rounds.
  const names = [...rules.keys()].reverse();
  for (let changed = true; changed; ) {
    changed = false;
    for (const name of names) {
      const { body } = rules.get(name)!;
      if (!empty.has(name) && body.some((terms) => terms.every(nullable))) {
        empty.add(name);
        changed = true;
      }
      const before = known.get(name) ?? 0n;
      const now = body.reduce((sum, terms) => sum | start(terms), before);
      if (now === before) continue;
      known.set(name, now);
      changed = true;
    }
  }
  return { first: { term: first }, nullable: { term: nullable } };
}

function listed(bytes: Bytes): number[] {
  const out: number[] = [];
  for (let byte = 0; byte < 256; byte++) if ((bytes >> BigInt(byte)) & 1n) out.push(byte);
  return out;
}
