// Arguments that a model writes as bare texts, between tags: the schema tells which of them are
// texts and which are JSON.

import type { JsonSchema } from "./types.ts";

/** The object of arguments as a JSON text, in the order given; of equal keys the last counts. */
export function typedArguments(pairs: readonly (readonly [string, string])[], schema?: JsonSchema): string {
  const members = [...new Map(pairs)].map(
    ([key, text]) => `${JSON.stringify(key)}: ${typedValue(text, propertyOf(schema, key), schema)}`,
  );
  return `{${members.join(", ")}}`;
}

/** The schema of a property, and undefined if there is none. */
function propertyOf(schema: JsonSchema | undefined, key: string): unknown {
  const properties = schema?.properties;
  return isObject(properties) && Object.hasOwn(properties, key) ? properties[key] : undefined;
}

/** The marks of one argument: in front of its key, between key and value, and behind the value. */
export interface ArgumentMarks {
  readonly open: string;
  readonly middle: string;
  readonly close: string;
}

/**
 * The keys and values that stand between marks; a value whose `close` was left out ends in front of
 * the next `open`. Takes time in proportion to the text, whatever a model writes: an expression
 * would search the rest of it again from each `open` that nothing follows.
 */
export function* marked(text: string, { open, middle, close }: ArgumentMarks): Generator<readonly [string, string]> {
  let next = text.indexOf(open);
  let closed = 0;
  while (next >= 0) {
    const begun = next + open.length;
    const between = text.indexOf(middle, begun);
    if (between < 0) return;
    const from = between + middle.length;
    next = text.indexOf(open, from);
    if (closed >= 0 && closed < from) closed = text.indexOf(close, from);
    const end = Math.min(...[next, closed, text.length].filter((at) => at >= 0));
    yield [text.slice(begun, between), text.slice(from, end)];
  }
}

/** One value as JSON: as it is if the schema allows what it spells, else as a text. */
function typedValue(text: string, property: unknown, root: JsonSchema | undefined): string {
  const types = typesOf(property, root);
  const word = PYTHON.get(text.trim()) ?? text.trim();
  try {
    const value: unknown = JSON.parse(word);
    if (types.has(typeOf(value))) return word;
  } catch {
    // Not JSON: a text.
  }
  return JSON.stringify(text);
}

const PYTHON: ReadonlyMap<string, string> = new Map([
  ["True", "true"],
  ["False", "false"],
  ["None", "null"],
]);

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

/**
 * The types other than "string" that a schema allows; all texts are strings anyway. Without a
 * schema there are none, as in Qwen's own parser.
 */
export function typesOf(schema: unknown, root: JsonSchema | undefined): ReadonlySet<string> {
  const types = new Set<string>();
  // Each schema once, however many others refer to it: it may refer to itself.
  const schemas = new Set([schema]);
  for (const one of schemas) {
    if (!isObject(one)) continue;
    const { type, enum: values, const: value, anyOf, oneOf, allOf, $ref, properties } = one;
    for (const name of Array.isArray(type) ? type : [type]) types.add(name === "integer" ? "number" : String(name));
    for (const item of Array.isArray(values) ? values : value === undefined ? [] : [value]) types.add(typeOf(item));
    for (const list of [anyOf, oneOf, allOf]) for (const other of Array.isArray(list) ? list : []) schemas.add(other);
    const name = typeof $ref === "string" ? /^#\/(\$defs|definitions)\/([^/]+)$/.exec($ref) : null;
    const defs = name && root?.[name[1]!];
    if (name && isObject(defs)) schemas.add(defs[name[2]!]);
    if (type === undefined && isObject(properties)) types.add("object");
  }
  types.delete("string");
  return types;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
