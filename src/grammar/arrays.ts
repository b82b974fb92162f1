// The rules of arrays: items by position, their number, how many of them meet a schema, and that no
// two are equal.

import { type Json, refuse } from "./keywords.ts";
import { type All, type Part, range } from "./parts.ts";
import type { Body, Term } from "./terms.ts";
import { Unsupported } from "./unsupported.ts";
import type { ValueRules } from "./value_rules.ts";

/** Most positions, and most counted kinds of items, that get states of their own. */
const MAX_STATES = 64;
const MAX_COUNTED = 3;
/**
 * Up to so many values, unique items may come in any order; with more values only in a fixed one.
 */
const ANY_ORDER = 7;

type Some = Extract<Part, { kind: "some" }>;

export function arrayBody(parts: readonly Part[], values: ValueRules): Body {
  const { min, max } = range(parts);
  if (max !== null && max < min) return [];
  const lists = parts.flatMap((part) => (part.kind === "items" ? [part] : []));
  const somes = parts.flatMap((part) => (part.kind === "some" ? [part] : []));
  const unique = parts.find((part) => part.kind === "unique");
  const fixed = Math.max(0, ...lists.map(({ prefix }) => prefix.length));
  const item = (i: number): All => lists.flatMap(({ prefix, rest }) => (i < prefix.length ? prefix[i]! : rest));
  const shape: Shape = { values, min, max, fixed, item };
  const empty: Body =
    min === 0 && somes.every((some) => some.min === 0) ? [[{ text: "[" }, values.json.space, { text: "]" }]] : [];
  if (max === 0) return empty;
  const order = (of: Shape): Term => (somes.length > 0 ? counted(of, somes) : inOrder(of));
  const first = unique?.kind === "unique" && max !== 1 ? distinct(shape, somes, unique.where, order) : order(shape);
  return [...empty, [{ text: "[" }, values.json.space, first]];
}

interface Shape {
  readonly values: ValueRules;
  readonly min: number;
  readonly max: number | null;
  /** How many positions have a schema of their own. */
  readonly fixed: number;
  readonly item: (i: number) => All;
}

/** One item or more, then the end. */
function inOrder({ values, min, max, fixed, item }: Shape): Term {
  const { rules, json } = values;
  const end: Term[] = [json.space, { text: "]" }];
  if (fixed > MAX_STATES * 8) throw new Unsupported(`more than ${MAX_STATES * 8} items with a schema of their own`);
  const after = (i: number): Term => {
    // after i items
    if (max !== null && i >= max) return rules.add("a", [end]);
    const next = values.value(item(i));
    if (i >= fixed) {
      const least = Math.max(0, min - i);
      return rules.add("a", [[{ of: [json.comma, next], min: least, max: max === null ? null : max - i }, ...end]]);
    }
    const more: Term[] = [json.comma, next, after(i + 1)];
    return rules.add("a", i >= min ? [end, more] : [more]);
  };
  return rules.add("a", [[values.value(item(0)), after(1)]]);
}

/**
 * Items that are counted as they are written: how many of each kind there are so far is part
 * of the state.
 */
function counted({ values, min, max, fixed, item }: Shape, somes: readonly Some[]): Term {
  const { rules, json } = values;
  const last = Math.max(fixed, min, max ?? 0, ...somes.map(({ from }) => from));
  const goals = somes.map((some) => Math.max(some.min, some.max ?? 0));
  const states = (last + 1) * goals.reduce((product, goal) => product * (goal + 1), 1);
  if (somes.length > MAX_COUNTED || states > MAX_STATES * 8)
    throw new Unsupported("items that are counted in so many ways");
  const known = new Map<string, Term>();
  /** What may follow i items, `counts` of which are of each kind. */
  const after = (i: number, counts: readonly number[]): Term => {
    const key = `${i} ${counts.join()}`;
    const found = known.get(key);
    if (found) return found;
    const name = rules.fresh("a");
    known.set(key, { rule: name });
    const body: Term[][] = [];
    if (i > 0 && i >= min && somes.every((some, j) => counts[j]! >= some.min)) body.push([json.space, { text: "]" }]);
    if (max === null || i < max) {
      for (const { all, counts: next } of choices(item(i), i, counts, somes, values)) {
        const one = values.value(all);
        body.push([
          ...(i > 0 ? [json.comma] : []),
          one,
          after(max === null ? Math.min(i + 1, Math.max(last, 1)) : i + 1, next),
        ]);
      }
    }
    rules.set(name, body);
    return { rule: name };
  };
  return after(
    0,
    somes.map(() => 0),
  );
}

/**
 * What an item may be, and the counts after it. Only where a kind has a maximum must uncounted
 * items not be of it.
 */
function choices(
  base: All,
  i: number,
  counts: readonly number[],
  somes: readonly Some[],
  values: ValueRules,
): { all: All; counts: readonly number[] }[] {
  let out: { all: All; counts: readonly number[] }[] = [{ all: base, counts }];
  for (const [j, some] of somes.entries()) {
    if (i < some.from || (some.max === null && counts[j]! >= some.min)) continue;
    out = out.flatMap((choice) => {
      const next: { all: All; counts: readonly number[] }[] = [];
      if (some.max === null || counts[j]! < some.max)
        next.push({ all: [...choice.all, ...some.all], counts: choice.counts.map((c, k) => (k === j ? c + 1 : c)) });
      const opposite = some.max === null ? [] : values.opposite(some.all);
      if (opposite === null) throw new Unsupported("items that are counted by several schemas");
      next.push({ all: [...choice.all, ...opposite], counts: choice.counts });
      return next;
    });
  }
  return out;
}

/**
 * The values of each position, and of the items after them, where those are few; null where they
 * are not.
 */
function valueLists({ values, fixed, item }: Shape): (readonly Json[])[] | null {
  const lists: (readonly Json[])[] = [];
  for (let i = 0; i <= fixed; i++) {
    const few = values.few(item(i));
    // Items after these that have many values are never written: that allows less than the schema,
    // but is valid.
    if (few !== null) lists.push(few);
    else if (i < fixed) return null;
  }
  return lists.length === 0 ? null : lists;
}

/**
 * Items of which no two are equal. Where each has few possible values, the set of values already
 * used is part of the state. No grammar can keep account of other items, so at most one is written.
 */
function distinct(shape: Shape, somes: readonly Some[], where: string, order: (shape: Shape) => Term): Term {
  const { values, min, max, fixed } = shape;
  const { rules, json } = values;
  const lists = somes.length > 0 ? null : valueLists(shape);
  const all = [...new Set((lists ?? []).flat().map((value) => JSON.stringify(value)))];
  if (lists === null || all.length > MAX_STATES) {
    if (min > 1)
      throw refuse(
        where,
        "uniqueItems",
        `needs ${min} different items, which is supported only for items with a list of at most ${MAX_STATES} values`,
      );
    values.warnings.add(`keyword \`uniqueItems\` at ${where} is kept by writing at most one item`);
    return order({ ...shape, max: 1 });
  }
  const open = lists.length > fixed;
  const most = Math.min(max ?? all.length, open ? all.length : fixed);
  const known = new Map<string, Term>();
  const after = (i: number, taken: readonly string[]): Term => {
    const at = Math.min(i, fixed);
    const inOrder = all.length > ANY_ORDER;
    const state = inOrder && i >= fixed ? [String(Math.max(-1, ...taken.map((text) => all.indexOf(text))))] : taken;
    const key = `${i} ${[...state].sort().join()}`;
    const found = known.get(key);
    if (found) return found;
    if (known.size > MAX_STATES * MAX_STATES) throw refuse(where, "uniqueItems", "is not supported for so many values");
    const name = rules.fresh("a");
    known.set(key, { rule: name });
    const body: Term[][] = i > 0 && i >= min ? [[json.space, { text: "]" }]] : [];
    if (i < most) {
      const options: Term[][] = [];
      const highest = inOrder && i >= fixed ? Number(state[0]) : -1;
      for (const value of lists[at]!) {
        const text = JSON.stringify(value);
        if (taken.includes(text) || all.indexOf(text) <= highest) continue;
        options.push([{ text }, after(i + 1, [...taken, text])]);
      }
      body.push([...(i > 0 ? [json.comma] : []), { any: options }]);
    }
    rules.set(name, body);
    return { rule: name };
  };
  return after(0, []);
}
