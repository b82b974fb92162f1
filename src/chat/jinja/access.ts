// Attribute access, indexing and calls, within the limits of transformers' sandbox.

import { type Run, TemplateFault } from "./bounds.ts";
import { formatMethod } from "./format.ts";
import { isForbidden, methodOf, plainAttribute } from "./methods.ts";
import { described, indexOf, itemAt, quoted } from "./operators.ts";
import type { Applied } from "./signature.ts";
import { isStr, plain, type Str } from "./text.ts";
import { callTextMethod, textMethod } from "./text_methods.ts";
import { Dict, Fn, type Keywords, NO_KEYWORDS, orElse, Special, typeName, Undefined, type Value } from "./values.ts";

const format = formatMethod({ getAttribute, getItem });

/** Attributes that every Python object has. */
const INTERNAL =
  /^__(class|doc|init|new|dict|repr|str|hash|eq|ne|lt|le|gt|ge|dir|format|getattribute|setattr|delattr|reduce|reduce_ex|sizeof|subclasshook|init_subclass)__$/;

/** The method of a value by name; texts also have those of markupsafe. */
function method(value: Value, name: string): Applied | undefined {
  if (!isStr(value)) return methodOf(value, name);
  return name === "format" || name === "format_map" ? format(name) : textMethod(name);
}

function call(run: Run, found: Applied, self: Value, args: readonly Value[], keywords: Keywords): Value {
  const result = isStr(self) ? callTextMethod(run, found, self, args, keywords) : found(run, self, args, keywords);
  if (isStr(result)) run.room(plain(result).length);
  return result;
}

/**
 * Python's getattr(); undefined if there is no such attribute. Attributes that the sandbox forbids
 * are `Undefined`.
 */
function attribute(run: Run, value: Value, name: string): Value | undefined {
  if (INTERNAL.test(name) || isForbidden(value, name)) {
    return new Undefined(`access to attribute '${name}' of '${typeName(value)}' object is unsafe.`);
  }
  const found = method(value, name);
  if (found !== undefined) return new Fn(name, (run, args, keywords) => call(run, found, value, args, keywords));
  if (value instanceof Special) return value.attribute(run, name);
  return plainAttribute(value, name);
}

function missing(value: Value, name: string): Undefined {
  return new Undefined(`'${value === null ? "None" : `${typeName(value)} object`}' has no attribute '${name}'`);
}

/** `value.name`: the attribute, otherwise the item. */
export function getAttribute(run: Run, value: Value, name: string): Value {
  if (value instanceof Undefined) value.fail();
  const found = attribute(run, value, name);
  if (found !== undefined) return found;
  return orElse(value instanceof Dict ? value.get(name) : undefined, () => missing(value, name));
}

/** `value[index]`: the item, otherwise the attribute. */
export function getItem(run: Run, value: Value, index: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (value instanceof Dict) {
    const found = Array.isArray(index) || index instanceof Dict ? undefined : value.get(index);
    if (found !== undefined) return found;
  }
  if (isStr(index)) return orElse(attribute(run, value, plain(index)), () => missing(value, plain(index)));
  const at = indexOf(index);
  const item = at === undefined ? undefined : itemAt(run, value, at);
  return orElse(item, () => new Undefined(`${typeName(value)} object has no element ${quoted(run, index)}`));
}

/** The filter attr(): only attributes, no items. */
export function getOnlyAttribute(run: Run, value: Value, name: Str): Value {
  if (value instanceof Undefined) value.fail();
  return orElse(attribute(run, value, plain(name)), () => missing(value, plain(name)));
}

/** `value(...)`. */
export function callValue(run: Run, value: Value, args: readonly Value[], keywords: Keywords = NO_KEYWORDS): Value {
  if (value instanceof Undefined) value.fail();
  if (!(value instanceof Special) || value.call === undefined) {
    throw new TemplateFault(`expected a function, found ${described(value)}`);
  }
  return value.call(run, args, keywords);
}

/** `value.name(...)`, without creating a function value for the method. */
export function callMethod(run: Run, value: Value, name: string, args: readonly Value[], keywords: Keywords): Value {
  if (!(value instanceof Undefined) && !(value instanceof Special) && !isForbidden(value, name)) {
    const found = method(value, name);
    if (found !== undefined) return call(run, found, value, args, keywords);
  }
  return callValue(run, getAttribute(run, value, name), args, keywords);
}

/** A path of attributes "a.b.0", as filters take it. */
export function attributePath(run: Run, path: Value): (item: Value, or?: Value) => Value {
  let parts: Value[] = [];
  if (isStr(path)) {
    parts = plain(path)
      .split(".")
      .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  } else if (path !== null) parts = [path];
  return (item, or) =>
    parts.reduce((value: Value, part) => {
      run.spend(1);
      const found = getItem(run, value, part);
      return found instanceof Undefined && or !== undefined && or !== null ? or : found;
    }, item);
}
