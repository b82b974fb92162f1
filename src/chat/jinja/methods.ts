// The methods and attributes of dicts, lists, tuples, ranges and numbers.

import { type Run, TemplateFault } from "./bounds.ts";
import { toFloat } from "./numbers.ts";
import { described, equal, iterate, listOf } from "./operators.ts";
import { type Applied, applied } from "./signature.ts";
import { wholeArgument } from "./text_methods.ts";
import { Dict, Float, isList, isWhole, orElse, Range, Tuple, type Value, View } from "./values.ts";

const dictMethods = new Map<string, Applied>([
  ["get", applied("get", "/ key default?", (_, self, [key, or = null]) => orElse((self as Dict).get(key!), () => or))],
  ["keys", applied("keys", "", (_, self) => new View("keys", self as Dict))],
  ["values", applied("values", "", (_, self) => new View("values", self as Dict))],
  ["items", applied("items", "", (_, self) => new View("items", self as Dict))],
  ["copy", applied("copy", "", (run, self) => copyOf(run, self as Dict))],
  [
    "fromkeys",
    applied("fromkeys", "/ keys value?", (run, _, [keys, value]) => {
      const dict = new Dict();
      for (const key of listOf(run, keys!)) dict.set(key, value ?? null);
      return dict;
    }),
  ],
]);

function copyOf(run: Run, dict: Dict): Dict {
  run.spend(dict.size);
  const copy = new Dict();
  for (const [key, value] of dict.pairs()) copy.set(key, value);
  return copy;
}

const listMethods = new Map<string, Applied>([
  [
    "count",
    applied(
      "count",
      "/ value",
      (run, self, [value]) => items(run, self).filter((one) => equal(run, one, value!)).length,
    ),
  ],
  [
    "index",
    applied("index", "/ value start? end?", (run, self, [value, start, end]) => {
      const all = items(run, self);
      const place = (at: number): number => (at < 0 ? Math.max(0, at + all.length) : at);
      const stop = place(wholeArgument(end, "index", all.length));
      for (let i = place(wholeArgument(start, "index", 0)); i < Math.min(stop, all.length); i++) {
        if (equal(run, all[i]!, value!)) return i;
      }
      throw new TemplateFault("index: the list does not have the value that is looked for");
    }),
  ],
]);
const copyList = applied("copy", "", (run, self) => items(run, self));

function items(run: Run, self: Value): readonly Value[] {
  if (isList(self)) return self;
  return self instanceof Tuple ? self.items : listOf(run, self);
}

/** Mutating methods of Python's types, which transformers' sandbox forbids. */
const FORBIDDEN: Readonly<Record<"dict" | "list", ReadonlySet<string>>> = {
  dict: new Set(["clear", "pop", "popitem", "setdefault", "update"]),
  list: new Set(["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"]),
};

/** Whether this method is forbidden because it would modify the value. */
export function isForbidden(value: Value, name: string): boolean {
  if (value instanceof Dict) return FORBIDDEN.dict.has(name);
  return isList(value) && FORBIDDEN.list.has(name);
}

const isInteger = applied("is_integer", "", (_, self) => Number.isInteger(toFloat(self as number)));
const conjugate = applied("conjugate", "", (_, self) => (typeof self === "boolean" ? Number(self) : self));
const bits = (value: number | bigint): string => (value < 0 ? -value : value).toString(2);
const bitLength = applied("bit_length", "", (_, self) => (Number(self) === 0 ? 0 : bits(integer(self)).length));
const bitCount = applied("bit_count", "", (_, self) => bits(integer(self)).replaceAll("0", "").length);

function integer(value: Value): number | bigint {
  return isWhole(value) ? value : Number(value);
}

/** The method of a value other than a text, by name. */
export function methodOf(value: Value, name: string): Applied | undefined {
  if (value instanceof Dict) return dictMethods.get(name);
  if (isList(value)) return name === "copy" ? copyList : listMethods.get(name);
  if (value instanceof Tuple || value instanceof Range) return listMethods.get(name);
  if (value instanceof Float) return name === "is_integer" ? isInteger : name === "conjugate" ? conjugate : undefined;
  if (isWhole(value) || typeof value === "boolean") {
    return { bit_length: bitLength, bit_count: bitCount, conjugate }[name as "conjugate"];
  }
  return undefined;
}

/** An attribute that is not a method. */
export function plainAttribute(value: Value, name: string): Value | undefined {
  if (isWhole(value) || typeof value === "boolean") {
    if (name === "real" || name === "numerator") return integer(value);
    if (name === "imag") return 0;
    return name === "denominator" ? 1 : undefined;
  }
  if (value instanceof Float) return name === "real" ? value : name === "imag" ? new Float(0) : undefined;
  if (value instanceof Tuple) {
    const at = value.names.indexOf(name);
    return at < 0 ? undefined : value.items[at];
  }
  if (value instanceof Range && /^(start|stop|step)$/.test(name)) return value[name as "start"];
  return undefined;
}

/** The function dict(mapping or pairs, **more). */
export function makeDict(run: Run, args: readonly Value[], more: Iterable<readonly [string, Value]>): Dict {
  if (args.length > 1) throw new TemplateFault(`dict: expected at most 1 argument, found ${args.length}`);
  const [from] = args;
  const dict = from instanceof Dict ? copyOf(run, from) : new Dict();
  if (from !== undefined && !(from instanceof Dict)) {
    for (const pair of iterate(run, from)) {
      run.spend(1);
      const [key, value, ...rest] = listOf(run, pair);
      if (key === undefined || value === undefined || rest.length > 0) {
        throw new TemplateFault(`dict: expected pairs, found ${described(pair)}`);
      }
      dict.set(key, value);
    }
  }
  for (const [key, value] of more) dict.set(key, value);
  return dict;
}
