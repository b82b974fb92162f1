// "And" and "or" of alternatives, kept small: contradictions are dropped, and alternatives that
// others already cover.

import { accepts, type Dfa } from "./dfa.ts";
import { contains, type Names } from "./names.ts";
import { meets, type NumberPart } from "./numbers.ts";
import type { All, Alternative, Part } from "./parts.ts";
import { TRUE } from "./parts.ts";
import { Unsupported } from "./unsupported.ts";

const MAX_ALTERNATIVES = 2000;
/** Most pairs that one "and" combines. */
const MAX_PAIRS = 50_000;
/** Most alternatives that are compared with each other. */
const MAX_COMPARED = 100;
const TOO_MANY = `more than ${MAX_ALTERNATIVES} combinations of alternatives, which is too many`;

/** Whether no value meets these schemas; false where that is not known. */
export type IsEmpty = (all: All) => boolean;

/**
 * Values that meet both. `most` limits the alternatives: the grammar writes nothing of
 * those left out.
 * @throws Unsupported for too many
 */
export function and(
  a: readonly Alternative[],
  b: readonly Alternative[],
  isEmpty: IsEmpty,
  most = Number.POSITIVE_INFINITY,
): readonly Alternative[] {
  if (a === TRUE) return b;
  if (b === TRUE) return a;
  const single = a.length === 1 && b.length === 1;
  const out = new Map<string, Alternative>();
  let pairs = 0;
  for (const x of a) {
    for (const y of b) {
      if (++pairs > MAX_PAIRS) throw new Unsupported(TOO_MANY);
      const parts = simplify([...x.parts, ...y.parts], single ? null : isEmpty);
      if (parts === null) continue;
      const both = { parts, names: [...x.names, ...y.names], items: Math.max(x.items, y.items) };
      out.set(single ? "" : keyOf(both), both);
      if (out.size >= most) return [...out.values()];
      if (out.size > MAX_ALTERNATIVES) throw new Unsupported(TOO_MANY);
    }
  }
  return fewest([...out.values()]);
}

/** Values that meet at least one of them. @throws Unsupported for too many */
export function or(found: readonly Alternative[]): readonly Alternative[] {
  if (found.length < 2) return found;
  const out = new Map<string, Alternative>();
  const texts = new Set<string>();
  const values = new Set<number>();
  for (const one of found) {
    const [part] = one.parts;
    if (one.parts.length === 1 && part!.kind === "texts" && part!.is) for (const text of part!.values) texts.add(text);
    else if (one.parts.length === 1 && part!.kind === "number" && part!.part.kind === "equal" && part!.part.is)
      for (const value of part!.part.values) values.add(value);
    else out.set(keyOf(one), one);
    if (out.size > MAX_ALTERNATIVES) throw new Unsupported(TOO_MANY);
  }
  const lists: Part[] = [
    ...(texts.size > 0 ? [{ kind: "texts", values: [...texts], is: true } as const] : []),
    ...(values.size > 0 ? [{ kind: "number", part: { kind: "equal", values: [...values], is: true } } as const] : []),
  ];
  return fewest([...lists.map((part) => ({ parts: [part], names: [], items: 0 })), ...out.values()]);
}

/** Whether no value meets one of `a` and one of `b`. */
export function disjoint(a: readonly Alternative[], b: readonly Alternative[], isEmpty: IsEmpty): boolean {
  return a.every((x) => b.every((y) => simplify([...x.parts, ...y.parts], isEmpty) === null));
}

/** Drops the alternatives that imply another one. */
function fewest(all: readonly Alternative[]): readonly Alternative[] {
  if (all.length < 2 || all.length > MAX_COMPARED) return all;
  const tracked = all.some(({ names, items }) => names.length > 0 || items > 0);
  if (tracked) return all;
  if (all.some(({ parts }) => parts.length === 0)) return TRUE;
  const keys = all.map(({ parts }) => new Set(parts.map(partKey)));
  return all.filter(
    (_, i) =>
      !keys.some(
        (other, j) =>
          j !== i &&
          (other.size < keys[i]!.size || (other.size === keys[i]!.size && j < i)) &&
          [...other].every((key) => keys[i]!.has(key)),
      ),
  );
}

/** Conditions that all must hold, without duplicates; null where they contradict each other. */
function simplify(parts: readonly Part[], isEmpty: IsEmpty | null): readonly Part[] | null {
  const out = new Map<string, Part>();
  for (const part of parts) out.set(partKey(part), part);
  const all = [...out.values()];
  const [first] = all;
  if (first === undefined) return all;
  switch (first.kind) {
    case "boolean":
      return all.length === 1 ? all : null;
    case "number":
    case "texts":
    case "match":
    case "format":
      return listed(all);
    default:
      if (isEmpty === null || all.length === 1) return counts(all);
      return counts(all) && possible(all, isEmpty) ? unmet(all) : null;
  }
}

/** Texts and numbers: reduces a list of values to those that meet the other conditions. */
function listed(all: readonly Part[]): readonly Part[] | null {
  const text = all.find((part) => part.kind === "texts" && part.is);
  if (text?.kind === "texts") {
    const rest = all.filter((part) => part !== text);
    const values = text.values.filter((value) => rest.every((part) => suits(value, part)));
    return values.length === 0 ? null : [{ kind: "texts", values, is: true }];
  }
  const number = all.find((part) => part.kind === "number" && part.part.kind === "equal" && part.part.is);
  if (number?.kind === "number" && number.part.kind === "equal") {
    const rest = all.flatMap((part) => (part.kind === "number" && part !== number ? [part.part] : []));
    const values = number.part.values.filter((value) => rest.every((part) => meets(value, part)));
    return values.length === 0 ? null : [{ kind: "number", part: { kind: "equal", values, is: true } }];
  }
  return counts(all);
}

/**
 * Whether a text from a list (`enum`) meets a condition. Formats are ignored: the list itself says
 * what is meant.
 */
export function suits(value: string, part: Part): boolean {
  switch (part.kind) {
    case "texts":
      return part.values.includes(value) === part.is;
    case "match":
      return accepts(part.dfa, value) === part.is;
    case "count": {
      const length = Array.from(value).length;
      return length >= part.min && (part.max === null || length <= part.max);
    }
    default:
      return true;
  }
}

function counts(all: readonly Part[]): readonly Part[] | null {
  let [min, max] = [0, Number.POSITIVE_INFINITY];
  for (const part of all) {
    if (part.kind !== "count") continue;
    min = Math.max(min, part.min);
    max = Math.min(max, part.max ?? max);
  }
  return min > max ? null : all;
}

/** Drops "one member with such a name" where a required property has such a name. */
function unmet(all: readonly Part[]): readonly Part[] {
  const names = all.flatMap((part) => (part.kind === "need" ? [part.name] : []));
  return all.filter(
    (part) => part.kind !== "one" || part.all.length > 0 || !names.some((name) => contains(part.names, name)),
  );
}

/** Whether every required property can have a value. */
function possible(all: readonly Part[], isEmpty: IsEmpty): boolean {
  for (const part of all) {
    if (part.kind !== "need") continue;
    const held = all.flatMap((one) => (one.kind === "each" && contains(one.names, part.name) ? [one.all] : []));
    if (held.length > 0 && isEmpty(held.flat())) return false;
  }
  return true;
}

const keys = new WeakMap<Part, string>();
const dfas = new WeakMap<Dfa, number>();
let dfaCount = 0;

/** Equal for equal conditions. */
function partKey(part: Part): string {
  const known = keys.get(part);
  if (known !== undefined) return known;
  const key = spell(part);
  keys.set(part, key);
  return key;
}

function spell(part: Part): string {
  switch (part.kind) {
    case "boolean":
      return `b ${part.value}`;
    case "number":
      return `n ${JSON.stringify(part.part satisfies NumberPart)}`;
    case "texts":
      return `t ${part.is} ${JSON.stringify(part.values)}`;
    case "match":
      return `m ${part.is} ${dfaKey(part.dfa)}`;
    case "format":
      return `f ${dfaKey(part.dfa)}`;
    case "count":
      return `c ${part.min} ${part.max}`;
    case "items":
      return `i ${part.prefix.join("|")} ${part.rest.join()}`;
    case "some":
      return `s ${part.from} ${part.min} ${part.max} ${part.all.join()}`;
    case "unique":
      return `u ${part.where}`;
    case "each":
      return `e ${namesKey(part.names)} ${part.all.join()}`;
    case "need":
      return `r ${part.name}`;
    case "one":
      return `o ${namesKey(part.names)} ${part.all.join()}`;
  }
}

export function dfaKey(dfa: Dfa): number {
  const known = dfas.get(dfa) ?? ++dfaCount;
  dfas.set(dfa, known);
  return known;
}

export function namesKey({ atoms, negated }: Names): string {
  return `${negated} ${JSON.stringify(atoms.map(({ key }) => key))}`;
}

/** Equal for equal conjunctions. */
export function partsKey(parts: readonly Part[]): string {
  return parts.map(partKey).sort().join("\n");
}

function keyOf({ parts, names, items }: Alternative): string {
  const own = partsKey(parts);
  return names.length === 0 && items === 0 ? own : `${own}\n${items} ${names.map(namesKey).join("\n")}`;
}
