// Arguments that a model writes as bare texts, between tags: the schema tells which of them are
// texts and which are JSON.

import type { JsonSchema } from "./types.ts";

/** The object of arguments as a JSON text, in the order given. */
export function typedArguments(pairs: readonly (readonly [string, string])[], schema?: JsonSchema): string {
  const members = new Map(pairs.map(([key, text]) => [key, typedValue(text, propertyOf(schema, key), schema)]));
  return `{${[...members].map(([key, value]) => `${JSON.stringify(key)}: ${value}`).join(", ")}}`;
}

/** The schema of a property, and undefined if there is none. */
export function propertyOf(schema: JsonSchema | undefined, key: string): unknown {
  const properties = schema?.properties;
  return isObject(properties) && Object.hasOwn(properties, key) ? properties[key] : undefined;
}

/** One value as JSON: as it is if the schema allows what it spells, else as a text. */
function typedValue(text: string, property: unknown, root: JsonSchema | undefined): string {
  const types = typesOf(property, root);
  const word = PYTHON[text.trim()] ?? text.trim();
  try {
    const value: unknown = JSON.parse(word);
    if (types.has(typeOf(value))) return word;
  } catch {
    // Not JSON: a text.
  }
  return JSON.stringify(text);
}

const PYTHON: Readonly<Record<string, string>> = { True: "true", False: "false", None: "null" };

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

/**
 * The types other than "string" that a schema allows; all texts are strings anyway. Without a
 * schema there are none, as in Qwen's own parser.
 */
export function typesOf(schema: unknown, root: JsonSchema | undefined, depth = 0): ReadonlySet<string> {
  const types = new Set<string>();
  if (!isObject(schema) || depth > 8) return types;
  const { type, enum: values, const: value, anyOf, oneOf, allOf, $ref } = schema;
  for (const one of Array.isArray(type) ? type : [type]) types.add(one === "integer" ? "number" : String(one));
  for (const one of Array.isArray(values) ? values : value === undefined ? [] : [value]) types.add(typeOf(one));
  for (const list of [anyOf, oneOf, allOf])
    for (const one of Array.isArray(list) ? list : [])
      for (const found of typesOf(one, root, depth + 1)) types.add(found);
  const name = typeof $ref === "string" ? /^#\/(\$defs|definitions)\/([^/]+)$/.exec($ref) : null;
  const defs = name && root?.[name[1]!];
  if (name && isObject(defs)) for (const found of typesOf(defs[name[2]!], root, depth + 1)) types.add(found);
  if (type === undefined && isObject(schema.properties)) types.add("object");
  types.delete("string");
  return types;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
