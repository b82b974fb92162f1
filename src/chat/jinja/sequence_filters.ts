// Jinja2's filters for sequences.

import { attributePath } from "./access.ts";
import { type Run, TemplateFault } from "./bounds.ts";
import { textFilters } from "./filters.ts";
import { binary, compare, described, equal, iterate, lengthOf, listOf, sorted, truth } from "./operators.ts";
import { joined, str } from "./show.ts";
import { type Applied, applied } from "./signature.ts";
import { defineFilterTest, testNamed } from "./tests.ts";
import { characters, isStr, mapParts, plain, type Str } from "./text.ts";
import { textArgument, wholeArgument } from "./text_methods.ts";
import { Dict, isList, keyOf, Lazy, orElse, Tuple, Undefined, type Value, View } from "./values.ts";

const filters = new Map<string, Applied>(textFilters);

type Given = readonly (Value | undefined)[];

function define(names: string, parameters: string, call: (run: Run, self: Value, given: Given) => Value): void {
  for (const name of names.split(" ")) filters.set(name, applied(name, parameters, call));
}

/** Whether a filter of this name exists. */
export function isFilter(name: string): boolean {
  return filters.has(name);
}

/** @throws TemplateFault if there is no such filter */
export function filterNamed(name: string): Applied {
  const filter = filters.get(name);
  if (filter === undefined) throw new TemplateFault(`no filter named '${name}'`);
  return filter;
}

/** The sort key of items: an attribute or the item itself, case-insensitive by default. */
function keyOfItems(
  run: Run,
  attribute: Value | undefined,
  sensitive: Value | undefined,
  or?: Value,
): (item: Value) => Value {
  const path = attributePath(run, attribute ?? null);
  return (item) => {
    const value = path(item, or);
    return truth(sensitive ?? false) ? value : small(run, value);
  };
}

function small(run: Run, value: Value): Value {
  if (!isStr(value)) return value;
  run.room(plain(value).length);
  return mapParts(value, (part) => part.toLowerCase());
}

define("length count", "/", (_, self) => {
  const length = lengthOf(self);
  if (length === undefined) throw new TemplateFault(`length: expected a text, list or dict, found ${described(self)}`);
  return length;
});
define("list", "", (run, self) => listOf(run, self));
define("first", "", (run, self) => {
  for (const item of isStr(self) ? characters(self) : iterate(run, self)) return item;
  return new Undefined("first: the sequence is empty");
});
define("last", "", (run, self) => orElse(reversed(run, self)[0], () => new Undefined("last: the sequence is empty")));

function reversed(run: Run, value: Value): Value[] {
  if (value instanceof Lazy) throw new TemplateFault(`expected a list to reverse, found ${described(value)}`);
  return listOf(run, value).reverse();
}

define("reverse", "", (run, self) => {
  if (isStr(self)) return joined(run, (listOf(run, self) as Str[]).reverse());
  const items = listOf(run, self).reverse();
  if (self instanceof Lazy) return items;
  return new Lazy(items[Symbol.iterator](), isList(self) ? "list_reverseiterator" : "reversed");
});
define("items", "", (_, self) => {
  const found = new Lazy(
    (function* () {
      if (self instanceof Undefined) return;
      if (!(self instanceof Dict)) throw new TemplateFault(`items: expected a dict, found ${described(self)}`);
      yield* new View("items", self).list();
    })(),
  );
  return found;
});
define("join", "d? attribute?", (run, self, [by = "", attribute = null]) => {
  const path = attributePath(run, attribute);
  const between = str(run, by);
  const parts: Str[] = [];
  for (const item of iterate(run, self)) {
    run.spend(1);
    if (parts.length > 0) parts.push(between);
    parts.push(str(run, path(item)));
  }
  return joined(run, parts);
});
define("random", "", (run, self) => {
  const items = listOf(run, self);
  return orElse(items[Math.floor(Math.random() * items.length)], () => new Undefined("random: the sequence is empty"));
});
define("sort", "reverse? case_sensitive? attribute?", (run, self, [reverse = false, sensitive, attribute]) => {
  const paths = isStr(attribute) ? plain(attribute).split(",") : [attribute];
  const keys = paths.map((path) => keyOfItems(run, path, sensitive));
  return sorted(run, listOf(run, self), (item) => keys.map((key) => key(item)), truth(reverse));
});
define("dictsort", "case_sensitive? by? reverse?", (run, self, [sensitive, by = "key", reverse = false]) => {
  if (self instanceof Undefined) self.fail();
  if (!(self instanceof Dict)) throw new TemplateFault(`dictsort: expected a dict, found ${described(self)}`);
  const at = plain(textArgument(by, "dictsort"));
  if (at !== "key" && at !== "value") throw new TemplateFault("dictsort: by: expected 'key' or 'value'");
  const key = keyOfItems(run, null, sensitive);
  const pairs = listOf(run, new View("items", self)) as Tuple[];
  return sorted(run, pairs, (pair) => key(pair.items[at === "key" ? 0 : 1]!), truth(reverse));
});
define("unique", "case_sensitive? attribute?", (run, self, [sensitive, attribute]) => {
  const key = keyOfItems(run, attribute, sensitive);
  return new Lazy(
    (function* () {
      const seen = new Set<unknown>();
      for (const item of iterate(run, self)) {
        run.spend(1);
        const one = keyOf(key(item));
        if (!seen.has(one)) yield item;
        seen.add(one);
      }
    })(),
  );
});
for (const [name, sign] of [
  ["min", -1],
  ["max", 1],
] as const) {
  define(name, "case_sensitive? attribute?", (run, self, [sensitive, attribute]) => {
    const key = keyOfItems(run, attribute, sensitive);
    let best: { readonly item: Value; readonly key: Value } | undefined;
    for (const item of iterate(run, self)) {
      const one = key(item);
      if (best === undefined || compare(run, one, best.key) * sign > 0) best = { item, key: one };
    }
    return best === undefined ? new Undefined(`${name}: the sequence is empty`) : best.item;
  });
}
define("sum", "attribute? start?", (run, self, [attribute = null, start = 0]) => {
  if (isStr(start)) throw new TemplateFault("sum: expected a start that is not a text");
  const path = attributePath(run, attribute);
  let sum: Value = start;
  for (const item of iterate(run, self)) sum = binary(run, "+", sum, path(item));
  return sum;
});
define("groupby", "attribute default? case_sensitive?", (run, self, [attribute, or, sensitive]) => {
  const key = keyOfItems(run, attribute, sensitive, or);
  const path = attributePath(run, attribute!);
  const groups: { readonly key: Value; readonly items: Value[] }[] = [];
  for (const item of sorted(run, listOf(run, self), key, false)) {
    const one = key(item);
    const last = groups.at(-1);
    if (last !== undefined && equal(run, last.key, one)) last.items.push(item);
    else groups.push({ key: one, items: [item] });
  }
  const named = (group: (typeof groups)[number]): Value =>
    truth(sensitive ?? false) ? group.key : path(group.items[0]!, or);
  return groups.map((group) => new Tuple([named(group), group.items], ["grouper", "list"]));
});
define("slice", "slices fill_with?", (run, self, [slices, fill = null]) => {
  const count = wholeArgument(slices, "slice");
  return new Lazy(
    (function* () {
      const items = listOf(run, self);
      if (count === 0) throw new TemplateFault("slice: expected a number of parts other than 0");
      const [each, more] = [Math.floor(items.length / count), items.length % count];
      for (let i = 0, at = 0; i < count; i++) {
        const end = at + each + (i < more ? 1 : 0);
        run.spend(1 + end - at);
        yield fill !== null && i >= more ? [...items.slice(at, end), fill] : items.slice(at, end);
        at = end;
      }
    })(),
  );
});
define("batch", "linecount fill_with?", (run, self, [linecount, fill = null]) => {
  const count = linecount as number;
  return new Lazy(
    (function* () {
      let batch: Value[] = [];
      for (const item of iterate(run, self)) {
        run.spend(1);
        if (equal(run, batch.length, linecount!)) {
          yield batch;
          batch = [];
        }
        batch.push(item);
      }
      if (batch.length > 0 && fill !== null) {
        const missing = Math.max(0, wholeArgument(count, "batch") - batch.length);
        run.spend(missing);
        batch.push(...new Array<Value>(missing).fill(fill));
      }
      if (batch.length > 0) yield batch;
    })(),
  );
});

filters.set("map", (run, self, args, keywords) => {
  const change = (): ((item: Value) => Value) => {
    const [name, ...rest] = args;
    if (name === undefined && keywords.has("attribute")) {
      for (const key of keywords.keys()) {
        if (key !== "attribute" && key !== "default") throw new TemplateFault(`map: has no argument '${key}'`);
      }
      const path = attributePath(run, keywords.get("attribute")!);
      const or = keywords.get("default");
      return (item) => path(item, or);
    }
    if (name === undefined) throw new TemplateFault("map: expected the name of a filter");
    if (name instanceof Undefined)
      throw new TemplateFault(`map: ${name.message}; is the name of a filter without quotes?`);
    const filter = filterNamed(plain(textArgument(name, "map")));
    return (item) => filter(run, item, rest, keywords);
  };
  return new Lazy(
    (function* () {
      if (!truth(self)) return;
      const changed = change();
      for (const item of iterate(run, self)) {
        run.spend(1);
        yield changed(item);
      }
    })(),
  );
});
for (const [name, wanted, byAttribute] of [
  ["select", true, false],
  ["reject", false, false],
  ["selectattr", true, true],
  ["rejectattr", false, true],
] as const) {
  filters.set(name, (run, self, args, keywords) => {
    const passes = (): ((item: Value) => boolean) => {
      if (byAttribute && args.length === 0) throw new TemplateFault(`${name}: expected the name of an attribute`);
      const path = attributePath(run, byAttribute ? args[0]! : null);
      const [test, ...rest] = args.slice(byAttribute ? 1 : 0);
      if (test === undefined) return (item) => truth(path(item));
      if (test instanceof Undefined)
        throw new TemplateFault(`${name}: ${test.message}; is the name of a test without quotes?`);
      const found = testNamed(plain(textArgument(test, name)));
      return (item) => truth(found(run, path(item), rest, keywords));
    };
    return new Lazy(
      (function* () {
        if (!truth(self)) return;
        const pass = passes();
        for (const item of iterate(run, self)) {
          run.spend(1);
          if (pass(item) === wanted) yield item;
        }
      })(),
    );
  });
}

defineFilterTest(isFilter);
