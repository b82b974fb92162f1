// Which bytes may come behind each rule of a grammar: tokens that go on with any other need no trying.

import { utf8Sequences } from "./char_set.ts";
import type { Rule } from "./right.ts";
import type { Body, Term } from "./terms.ts";

/** A set of bytes: bit b stands for byte b. */
type Bytes = bigint;

/** For each rule the bytes that may follow where it ends, in ascending order; none where only the text's end may. */
export function followingBytes(rules: ReadonlyMap<string, Rule>): Map<string, readonly number[]> {
  const { first, nullable } = firstBytes(rules);
  const follow = new Map<string, Bytes>();
  /** Rules that end where the key does. */
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
      let [after, open] = [0n, true]; // what may come behind the term, and whether the owner may end there
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

/** Rules whose every text ends with a certain one, as a quote: few tokens go on behind it. */
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
  // Rules that are made of others come before them: from the last to the first, few rounds are enough.
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
