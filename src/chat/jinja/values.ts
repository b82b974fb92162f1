// The values of a template, modelled on Python's: texts are Str, integers number or (if large)
// bigint, lists arrays, None null.

import { PythonNumber } from "../python_json.ts";
import { type Run, TemplateFault } from "./bounds.ts";
import { concat, isStr, plain, type Str, Text, untrustedText } from "./text.ts";

export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Text
  | Float
  | readonly Value[]
  | Tuple
  | Dict
  | Range
  | View
  | Lazy
  | Undefined
  | Special;

export type Keywords = ReadonlyMap<string, Value>;
export const NO_KEYWORDS: Keywords = new Map();

/** A float; plain JavaScript numbers are Python's integers. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

export class Tuple {
  readonly items: readonly Value[];
  /** Names of the items, for the named tuples of groupby. */
  readonly names: readonly string[];
  constructor(items: readonly Value[], names: readonly string[] = []) {
    this.items = items;
    this.names = names;
  }
}

export class Range {
  readonly start: number;
  readonly step: number;
  readonly length: number;
  constructor(start: number, stop: number, step: number) {
    this.start = start;
    this.step = step;
    this.length = Math.max(0, Math.ceil((stop - start) / step));
    this.stop = stop;
  }
  readonly stop: number;
  at(index: number): number {
    return this.start + index * this.step;
  }
}

/** The result of dict.keys(), values() or items(). */
export class View {
  readonly kind: "keys" | "values" | "items";
  readonly dict: Dict;
  constructor(kind: View["kind"], dict: Dict) {
    this.kind = kind;
    this.dict = dict;
  }
  list(): Value[] {
    const pairs = this.dict.pairs();
    if (this.kind === "items") return Array.from(pairs, (pair) => new Tuple(pair));
    return Array.from(pairs, ([key, value]) => (this.kind === "keys" ? key : value));
  }
}

/** An iterable that can be consumed once, such as a generator. */
export class Lazy implements Iterable<Value> {
  /** Name of the Python type. */
  readonly type: string;
  readonly #items: Iterator<Value>;
  constructor(items: Iterator<Value>, type = "generator") {
    this.#items = items;
    this.type = type;
  }
  [Symbol.iterator](): Iterator<Value> {
    return { next: () => this.#items.next() }; // no return(), so that a loop that stops early leaves the rest
  }
}

/**
 * Jinja2's Undefined, for a missing value: prints as an empty text and is false; any other use is
 * an error.
 */
export class Undefined {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
  fail(): never {
    throw new TemplateFault(this.message);
  }
}

/** A value with its own attributes: functions, macros, `loop`, namespaces. */
export abstract class Special {
  /** Name of the Python type. */
  abstract readonly type: string;
  /** The `repr` of the value. */
  abstract shown(run: Run, repr: (value: Value) => Str): Str;
  /** The attribute, or undefined if there is none. */
  attribute(_run: Run, _name: string): Value | undefined {
    return undefined;
  }
  readonly call?: (run: Run, args: readonly Value[], keywords: Keywords) => Value;
}

/** A built-in function. */
export class Fn extends Special {
  readonly type = "function";
  readonly name: string;
  override readonly call: (run: Run, args: readonly Value[], keywords: Keywords) => Value;
  constructor(name: string, call: (run: Run, args: readonly Value[], keywords: Keywords) => Value) {
    super();
    this.name = name;
    this.call = call;
  }
  shown(): string {
    return `<function ${this.name}>`;
  }
}

export class Namespace extends Special {
  readonly type = "jinja2.utils.Namespace";
  readonly #members: Dict;
  constructor(members: Dict) {
    super();
    this.#members = members;
  }
  shown(_run: Run, repr: (value: Value) => Str): Str {
    return concat(["<Namespace ", repr(this.#members), ">"]);
  }
  override attribute(_run: Run, name: string): Value | undefined {
    return this.#members.get(name);
  }
  set(name: string, value: Value): void {
    this.#members.set(name, value);
  }
}

/** A dict. Keys are equal as in Python: 1, 1.0 and True are the same key. */
export class Dict {
  readonly #entries = new Map<unknown, [Value, Value]>();
  get size(): number {
    return this.#entries.size;
  }
  /** @throws TemplateFault for a key that cannot be hashed */
  get(key: Value): Value | undefined {
    return this.#entries.get(keyOf(key))?.[1];
  }
  has(key: Value): boolean {
    return this.#entries.has(keyOf(key));
  }
  set(key: Value, value: Value): void {
    const at = keyOf(key);
    const entry = this.#entries.get(at);
    if (entry) entry[1] = value;
    else this.#entries.set(at, [key, value]);
  }
  pairs(): Iterable<readonly [Value, Value]> {
    return this.#entries.values();
  }
  keys(): Value[] {
    return Array.from(this.#entries.values(), ([key]) => key);
  }
}

/**
 * The Map key for a value, the same for equal values.
 * @throws TemplateFault if it is not hashable
 */
export function keyOf(value: Value): unknown {
  if (isStr(value)) {
    const text = plain(value);
    return text.startsWith("\0") ? `\0s${text}` : text;
  }
  if (typeof value === "boolean") return Number(value);
  if (value instanceof Float) return Number.isInteger(value.value) ? whole(BigInt(value.value)) : value.value;
  if (value instanceof Tuple) return `\0t${JSON.stringify(value.items.map((item) => tupleKey(keyOf(item))))}`;
  if (value instanceof Undefined) return "\0u";
  if (isList(value) || value instanceof Dict || value instanceof View)
    throw new TemplateFault(`unhashable type: '${typeName(value)}'`);
  return value;
}

function tupleKey(key: unknown): string {
  if (typeof key === "object" && key !== null) throw new TemplateFault("expected a key of texts and numbers");
  return `${typeof key === "bigint" ? "number" : typeof key} ${String(key)}`;
}

/** Normalises a whole number: to a number if that is exact. */
export function whole(value: bigint): number | bigint {
  const small = Number(value);
  return Number.isSafeInteger(small) ? small : value;
}

/**
 * The value, or the result of `or` if it is undefined; unlike ??, null (None) counts as a value.
 */
export function orElse(value: Value | undefined, or: () => Value): Value {
  return value === undefined ? or() : value;
}

export function isList(value: unknown): value is readonly Value[] {
  return Array.isArray(value);
}

export function isWhole(value: unknown): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

/** Name of the value's Python type. */
export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  if (typeof value === "boolean") return "bool";
  if (isWhole(value)) return "int";
  if (isStr(value)) return value instanceof Text && value.safe ? "Markup" : "str";
  if (value instanceof Float) return "float";
  if (isList(value)) return "list";
  if (value instanceof Tuple) return "tuple";
  if (value instanceof Dict) return "dict";
  if (value instanceof Range) return "range";
  if (value instanceof View) return `dict_${value.kind}`;
  if (value instanceof Undefined) return "Undefined";
  return value.type;
}

/**
 * Plain data whose texts, keys included, are all untrusted; `change` is applied to each before the
 * template sees it.
 */
export class Untrusted {
  readonly data: unknown;
  readonly change: (text: string) => string;
  constructor(data: unknown, change: (text: string) => string = (text) => text) {
    this.data = data;
    this.change = change;
  }
}

/** Converts plain data, which may contain Maps and Untrusted, to a value. */
export function fromData(data: unknown, change: ((text: string) => string) | null = null): Value {
  if (typeof data === "string") return change === null ? data : untrustedText(change(data));
  if (typeof data === "boolean" || data instanceof Text) return data;
  if (data === null || data === undefined) return null;
  if (typeof data === "number") return Number.isSafeInteger(data) ? data : new Float(data);
  if (typeof data === "bigint") return whole(data);
  if (data instanceof PythonNumber) {
    if (/^-?\d+$/.test(data.text)) return whole(BigInt(data.text));
    return new Float(Number(data.text));
  }
  if (data instanceof Untrusted) return fromData(data.data, data.change);
  if (Array.isArray(data)) return data.map((one) => fromData(one, change));
  const dict = new Dict();
  const entries = data instanceof Map ? (data as Map<string, unknown>) : Object.entries(data);
  for (const [key, value] of entries) {
    if (value !== undefined) dict.set(fromData(key, change), fromData(value, change));
  }
  return dict;
}

/** Size of plain data: its characters and members. */
export function sizeOfData(data: unknown): number {
  if (typeof data === "string") return data.length;
  if (typeof data !== "object" || data === null) return 1;
  if (data instanceof Untrusted) return sizeOfData(data.data);
  const entries = data instanceof Map ? [...(data as Map<string, unknown>)] : Object.entries(data);
  return entries.reduce((sum, [key, value]) => sum + key.length + sizeOfData(value), 1);
}
