// Python's operators on template values.

import { type Run, TemplateFault } from "./bounds.ts";
import { arithmetic, compareNumbers, numberOf } from "./numbers.ts";
import { escapeHtml, percentFormat } from "./percent.ts";
import { joined, repr } from "./show.ts";
import { after, characters, compareTexts, cut, isSafe, isStr, plain, pointStarts, type Str, withSafe } from "./text.ts";
import { Dict, Float, isList, isWhole, Lazy, Range, Tuple, typeName, Undefined, type Value, View } from "./values.ts";

/** bool(value). */
export function truth(value: Value): boolean {
  if (typeof value === "boolean") return value;
  if (value === null || value instanceof Undefined) return false;
  if (isStr(value)) return plain(value) !== "";
  if (isWhole(value)) return value !== 0;
  if (value instanceof Float) return value.value !== 0;
  const length = lengthOf(value);
  return length === undefined || length > 0;
}

/** len(value), or undefined where Python raises. */
export function lengthOf(value: Value): number | undefined {
  if (isStr(value)) {
    const starts = pointStarts(plain(value));
    return starts === null ? plain(value).length : starts.length - 1;
  }
  if (isList(value)) return value.length;
  if (value instanceof Tuple) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof Range) return value.length;
  if (value instanceof View) return value.dict.size;
  if (value instanceof Undefined) return 0;
  return undefined;
}

/** Python's iter(): the items that `for` iterates over, or undefined where Python raises. */
export function tryIterate(run: Run, value: Value): Iterable<Value> | undefined {
  if (isList(value)) return value;
  if (value instanceof Tuple) return value.items;
  if (isStr(value)) {
    run.spend(plain(value).length);
    return characters(value);
  }
  if (value instanceof Dict) return value.keys();
  if (value instanceof View) return value.list();
  if (value instanceof Lazy) return value;
  if (value instanceof Undefined) return [];
  if (value instanceof Range) return rangeItems(value);
  return undefined;
}

function* rangeItems(range: Range): Generator<Value> {
  for (let i = 0; i < range.length; i++) yield range.at(i);
}

export function iterate(run: Run, value: Value): Iterable<Value> {
  return (
    tryIterate(run, value) ??
    (() => {
      throw new TemplateFault(`expected an iterable, found ${described(value)}`);
    })()
  );
}

/** All items of an iterable. */
export function listOf(run: Run, value: Value): Value[] {
  const items: Value[] = [];
  for (const item of iterate(run, value)) {
    run.spend(1);
    items.push(item);
  }
  return items;
}

/** For error messages: "a value of type 'int'", or why the value is undefined. */
export function described(value: Value): string {
  return value instanceof Undefined ? `nothing: ${value.message}` : `a value of type '${typeName(value)}'`;
}

/** `a == b`. */
export function equal(run: Run, a: Value, b: Value): boolean {
  run.spend(1);
  if (a === b) return true;
  if (isStr(a)) {
    if (!isStr(b)) return false;
    run.read(Math.min(plain(a).length, plain(b).length));
    return plain(a) === plain(b);
  }
  const [left, right] = [numberOf(a), numberOf(b)];
  if (left !== undefined) return right !== undefined && compareNumbers(left, right) === 0;
  if (isList(a)) return isList(b) && equalItems(run, a, b);
  if (a instanceof Tuple) return b instanceof Tuple && equalItems(run, a.items, b.items);
  if (a instanceof Dict) return b instanceof Dict && equalDicts(run, a, b);
  if (a instanceof Undefined) return b instanceof Undefined;
  if (a instanceof Range) return b instanceof Range && equalItems(run, listOf(run, a), listOf(run, b));
  if (a instanceof View) {
    return b instanceof View && a.kind !== "values" && a.kind === b.kind && equalViews(run, a, b);
  }
  return false;
}

function equalItems(run: Run, a: readonly Value[], b: readonly Value[]): boolean {
  return a.length === b.length && a.every((item, i) => equal(run, item, b[i]!));
}

function equalDicts(run: Run, a: Dict, b: Dict): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a.pairs()) {
    const other = b.get(key);
    if (other === undefined || !equal(run, value, other)) return false;
  }
  return true;
}

/** Compares dict views of keys and items, which are sets. */
function equalViews(run: Run, a: View, b: View): boolean {
  return a.dict.size === b.dict.size && a.list().every((item) => contains(run, item, b));
}

/** `item in container`. */
function contains(run: Run, item: Value, container: Value): boolean {
  if (isStr(container)) {
    if (!isStr(item)) throw new TemplateFault(`'in' a text: expected a text, found ${described(item)}`);
    run.read(plain(container).length);
    return plain(container).includes(plain(item));
  }
  if (container instanceof Dict) return container.has(item);
  if (container instanceof View && container.kind === "keys") return container.dict.has(item);
  if (container instanceof Range) {
    const number = numberOf(item);
    const at = number instanceof Float ? number.value : Number(number ?? Number.NaN);
    const index = (at - container.start) / container.step;
    return Number.isInteger(index) && index >= 0 && index < container.length;
  }
  for (const one of iterate(run, container)) if (equal(run, one, item)) return true;
  return false;
}

/**
 * Negative, 0 or positive if `a` is less than, equal to or greater than `b`.
 * @throws TemplateFault for values without an order
 */
export function compare(run: Run, a: Value, b: Value, operator = "<"): number {
  run.spend(1);
  if (a instanceof Undefined) a.fail();
  if (b instanceof Undefined) b.fail();
  if (isStr(a) && isStr(b)) {
    run.read(Math.min(plain(a).length, plain(b).length));
    return compareTexts(plain(a), plain(b));
  }
  const [left, right] = [numberOf(a), numberOf(b)];
  if (left !== undefined && right !== undefined) return compareNumbers(left, right);
  if (isList(a) && isList(b)) return compareItems(run, a, b, operator);
  if (a instanceof Tuple && b instanceof Tuple) return compareItems(run, a.items, b.items, operator);
  throw new TemplateFault(`'${operator}': cannot compare ${both(a, b)}`);
}

function compareItems(run: Run, a: readonly Value[], b: readonly Value[], operator: string): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    if (!equal(run, a[i]!, b[i]!)) return compare(run, a[i]!, b[i]!, operator);
  }
  return a.length - b.length;
}

/** A single comparison. */
export function compares(run: Run, operator: string, a: Value, b: Value): boolean {
  switch (operator) {
    case "==":
      return equal(run, a, b);
    case "!=":
      return !equal(run, a, b);
    case "in":
      return contains(run, a, b);
    case "not in":
      return !contains(run, a, b);
  }
  const order = compare(run, a, b, operator);
  if (operator === "<") return order < 0;
  if (operator === "<=") return order <= 0;
  return operator === ">" ? order > 0 : order >= 0; // false for NaN
}

function both(a: Value, b: Value): string {
  return `'${typeName(a)}' and '${typeName(b)}'`;
}

/** Python's arithmetic operators, also on texts and lists. */
export function binary(run: Run, operator: string, a: Value, b: Value): Value {
  if (a instanceof Undefined) a.fail();
  if (operator === "%" && isStr(a)) return percentFormat(run, a, b);
  if (b instanceof Undefined) b.fail();
  const [left, right] = [numberOf(a), numberOf(b)];
  if (left !== undefined && right !== undefined) return arithmetic(run, operator, left, right);
  if (operator === "+") {
    if (isStr(a) && isStr(b)) return added(run, a, b);
    if (isList(a) && isList(b)) return chained(run, [a, b]);
    if (a instanceof Tuple && b instanceof Tuple) return new Tuple(chained(run, [a.items, b.items]));
  }
  if (operator === "*") {
    const repeatedValue = isWhole(right) ? repeated(run, a, right) : isWhole(left) ? repeated(run, b, left) : undefined;
    if (repeatedValue !== undefined) return repeatedValue;
  }
  throw new TemplateFault(`'${operator}': cannot be applied to ${both(a, b)}`);
}

function added(run: Run, a: Str, b: Str): Str {
  if (!isSafe(a) && !isSafe(b)) return joined(run, [a, b]);
  return withSafe(joined(run, [escapeHtml(run, a), escapeHtml(run, b)]), true);
}

function chained(run: Run, lists: readonly (readonly Value[])[]): Value[] {
  run.spend(lists.reduce((sum, list) => sum + list.length, 0));
  return lists.flat() as Value[];
}

function repeated(run: Run, value: Value, times: number | bigint): Value | undefined {
  const count = Math.max(0, Number(times));
  if (isStr(value)) {
    run.room(plain(value).length * count);
    const text = joined(run, plain(value) === "" ? [] : new Array<Str>(count).fill(value));
    return isSafe(value) ? withSafe(text, true) : text;
  }
  const items = isList(value) ? value : value instanceof Tuple ? value.items : undefined;
  if (items === undefined) return undefined;
  run.spend(items.length * count);
  const all = items.length === 0 ? [] : new Array<readonly Value[]>(count).fill(items).flat();
  return isList(value) ? (all as Value[]) : new Tuple(all as Value[]);
}

export function unary(run: Run, operator: "-" | "+", value: Value): Value {
  if (value instanceof Undefined) value.fail();
  const number = numberOf(value);
  if (number === undefined) throw new TemplateFault(`'${operator}': expected a number, found ${described(value)}`);
  if (operator === "+") return number;
  if (number instanceof Float) return new Float(-number.value);
  return arithmetic(run, "-", 0, number);
}

/** Converts an index: a whole number, or a boolean for 0 and 1; otherwise undefined. */
export function indexOf(value: Value): number | undefined {
  if (typeof value === "boolean") return Number(value);
  return isWhole(value) ? Number(value) : undefined;
}

/** The item at an index; undefined if there is none, or if the value cannot be indexed. */
export function itemAt(run: Run, value: Value, index: number): Value | undefined {
  const items = isList(value) ? value : value instanceof Tuple ? value.items : value instanceof Range ? value : null;
  if (items !== null) {
    const at = index < 0 ? index + items.length : index;
    if (items instanceof Range) return at >= 0 && at < items.length ? items.at(at) : undefined;
    return items[at];
  }
  if (!isStr(value)) return undefined;
  run.read(plain(value).length);
  const starts = pointStarts(plain(value));
  const length = starts === null ? plain(value).length : starts.length - 1;
  const at = index < 0 ? index + length : index;
  if (!(at >= 0 && at < length)) return undefined;
  const start = starts?.[at] ?? at;
  return withSafe(cut(value, start, after(plain(value), start)), isSafe(value));
}

/** `value[start:stop:step]`; an omitted bound is null. @throws TemplateFault */
export function slice(run: Run, value: Value, bounds: readonly [Value, Value, Value]): Value {
  if (value instanceof Undefined) value.fail();
  const [start, stop, step] = bounds.map((bound) => {
    const index = bound === null ? null : indexOf(bound);
    if (index !== undefined) return index;
    throw new TemplateFault(`slice: expected whole numbers, found ${described(bound)}`);
  }) as [number | null, number | null, number | null];
  if (step === 0) throw new TemplateFault("expected a step other than 0");
  const by = step ?? 1;
  const length = lengthOf(value);
  if (length === undefined || value instanceof Dict || value instanceof View) {
    throw new TemplateFault(`slice: expected a text or a list, found ${described(value)}`);
  }
  const clamp = (index: number | null, otherwise: number): number => {
    if (index === null) return otherwise;
    const at = index < 0 ? index + length : index;
    return by > 0 ? Math.min(Math.max(at, 0), length) : Math.min(Math.max(at, -1), length - 1);
  };
  const from = clamp(start, by > 0 ? 0 : length - 1);
  const to = clamp(stop, by > 0 ? length : -1);
  if (value instanceof Range) return new Range(value.at(from), value.at(to), value.step * by);
  run.spend(1);
  if (isStr(value)) return withSafe(textSlice(run, value, from, to, by), isSafe(value));
  const items = isList(value) ? value : (value as Tuple).items;
  let taken: readonly Value[];
  if (by === 1) {
    run.spend(Math.max(0, to - from) / 4);
    taken = items.slice(from, Math.max(from, to));
  } else {
    const picked: Value[] = [];
    for (let at = from; by > 0 ? at < to : at > to; at += by) {
      run.spend(1);
      picked.push(items[at]!);
    }
    taken = picked;
  }
  return isList(value) ? taken : new Tuple(taken);
}

function textSlice(run: Run, text: Str, from: number, to: number, by: number): Str {
  const all = plain(text);
  run.read(all.length);
  const starts = pointStarts(all);
  const unit = (at: number): number => (starts === null ? at : starts[at]!);
  if (by === 1) return to <= from ? "" : cut(text, unit(from), unit(to));
  const parts: Str[] = [];
  for (let at = from; by > 0 ? at < to : at > to; at += by) {
    run.spend(1);
    parts.push(cut(text, unit(at), unit(at + 1)));
  }
  return joined(run, parts);
}

/** Whether two values are the same object, as far as a template can tell. */
export function same(a: Value, b: Value): boolean {
  if (isStr(a) && isStr(b)) return plain(a) === plain(b);
  return a === b;
}

/** Sorts items. @throws TemplateFault for items without an order */
export function sorted<T>(run: Run, items: readonly T[], key: (item: T) => Value, reverse: boolean): T[] {
  const keyed = items.map((item) => [key(item), item] as const);
  // As in Python, `reverse` keeps the order of equal items: reverse, sort, reverse.
  if (reverse) keyed.reverse();
  keyed.sort(([a], [b]) => compare(run, a, b));
  if (reverse) keyed.reverse();
  return keyed.map(([, item]) => item);
}

/** For error messages: the `repr` of a value, truncated. */
export function quoted(run: Run, value: Value): string {
  const text = plain(repr(run, value));
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}
