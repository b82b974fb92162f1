// Relaxes a schema until it can be enforced: drops keywords that no grammar can express, and
// keywords that leave no value.

import { RequestError } from "../errors.ts";
import { isObject, type Json, type JsonObject } from "./keywords.ts";
import type { Printed } from "./print.ts";
import { schemaGrammar } from "./schema.ts";

export const ANY_OBJECT: JsonObject = { type: "object" };

/**
 * Most grammars that are tried for one schema, and for all schemas of a request. After that, any
 * object is allowed.
 */
const MOST_TRIES = 100;
const MOST_IN_ALL = 1_000;
/** Levels of JSON that are examined. */
const DEPTH = 90;

/** Counts the grammars that may still be tried. `check` throws for a grammar that is too large. */
export class Tries {
  #left = MOST_IN_ALL;
  readonly #check: (printed: Printed) => void;
  /**
   * Patterns that cannot be compiled. Finding one may take a second, and tools from one source
   * often share patterns.
   */
  readonly patterns = new Set<string>();

  constructor(check: (printed: Printed) => void = () => {}) {
    this.#check = check;
  }

  /** Why a schema has no grammar; null if it has one. */
  faultOf(schema: Json): string | null {
    if (this.#left-- <= 0) return "too many attempts";
    try {
      this.#check(schemaGrammar(schema));
      return null;
    } catch (error) {
      if (error instanceof RequestError) return error.message;
      throw error;
    }
  }
}

/**
 * A schema of objects that has a grammar and is looser than the given one, by as little as a
 * bounded number of tries can find. Any value may be given.
 */
export function relaxed(given: unknown, tries: Tries): JsonObject {
  if (!isObject(given)) return ANY_OBJECT;
  let schema: JsonObject = { ...(cut(given as Json, DEPTH) as JsonObject), type: "object" };
  for (const pattern of tries.patterns) schema = withoutPattern(schema, pattern);
  for (let i = 0; i < MOST_TRIES; i++) {
    const fault = tries.faultOf(schema);
    if (fault === null) return schema;
    const place = placeOf(fault, schema);
    const pattern = place?.at(-1) === "pattern" ? at(schema, place) : null;
    if (typeof pattern === "string") tries.patterns.add(pattern);
    const less =
      typeof pattern === "string" ? withoutPattern(schema, pattern) : place === null ? schema : without(schema, place);
    const same = JSON.stringify(less) === JSON.stringify(schema);
    const next = same ? mended(schema, schema, tries) : less;
    if (!isObject(next)) return ANY_OBJECT;
    schema = next;
  }
  return ANY_OBJECT;
}

function at(schema: Json, path: readonly string[]): Json | undefined {
  return path.reduce<Json | undefined>((value, key) => (value as JsonObject | undefined)?.[key], schema);
}

/** Keywords that hold values rather than schemas. */
const DATA = new Set("const enum default examples example".split(" "));

/**
 * Drops a pattern everywhere. One place at a time, because dropping a keyword may change
 * the other places.
 */
function withoutPattern(schema: JsonObject, pattern: string): JsonObject {
  let out: Json = schema;
  for (let path = placeOfPattern(out, pattern); path !== null; path = placeOfPattern(out, pattern)) {
    out = without(out, path);
    if (!isObject(out)) return ANY_OBJECT;
  }
  return out;
}

function placeOfPattern(schema: Json, pattern: string): readonly string[] | null {
  if (typeof schema !== "object" || schema === null) return null;
  for (const [key, value] of Object.entries(schema) as [string, Json][]) {
    if (key === "pattern" && value === pattern) return [key];
    const inner = DATA.has(key) ? null : placeOfPattern(value, pattern);
    if (inner !== null) return [key, ...inner];
  }
  return null;
}

/** Keywords of draft 2020-12, which error messages use, and their names in older drafts. */
const FORMER: Readonly<Record<string, string>> = {
  prefixItems: "items",
  dependentRequired: "dependencies",
  dependentSchemas: "dependencies",
};

/**
 * Whether an error message names a place in the schema; if not, the schema as a whole is at fault.
 */
export function namesPlace(message: string): boolean {
  return COMPLAINT.test(message);
}

const COMPLAINT = /^json_schema: (?:keyword `(.*?)`|expected a schema) at #(.*)/s;

/**
 * The path to the place that a message names ("keyword `x` at #/properties/a"), as far as the
 * schema has it; null where it names none.
 */
function placeOf(message: string, schema: Json): readonly string[] | null {
  const [, keyword, start] = COMPLAINT.exec(message) ?? [];
  if (start === undefined) return null;
  const path: string[] = [];
  let rest = start;
  for (let value = schema; typeof value === "object" && value !== null; value = (value as JsonObject)[path.at(-1)!]!) {
    const own = Object.keys(value);
    const names = own.map((key): [string, string] => [key, key]);
    for (const [name, former] of Object.entries(FORMER))
      if (own.includes(former) && !own.includes(name)) names.push([name, former]);
    // Names may contain any character: the longest one that fits is meant.
    const spelled = names
      .map(([name, key]) => ({ key, text: `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}` }))
      .filter(({ text }) => rest.startsWith(text))
      .sort((x, y) => y.text.length - x.text.length)[0];
    if (spelled === undefined) break;
    path.push(spelled.key);
    rest = rest.slice(spelled.text.length);
  }
  return keyword === undefined ? path : [...path, keyword];
}

/**
 * The schema without the keyword at a path. Dropping part of a `not` or an `if` could make the
 * schema narrower, so these go as a whole; a oneOf on the way becomes an anyOf for the same reason.
 */
function without(schema: Json, path: readonly string[]): Json {
  const [key, ...rest] = path;
  if (key === undefined || !isObject(schema)) return true;
  const { [key]: value, ...others } = schema;
  if (value === undefined) return bare(schema);
  if (key === "not") return others;
  if (key === "if") {
    const { then: _, else: __, ...left } = others;
    return left;
  }
  if (key === "contains" || key === "minContains" || key === "maxContains") {
    const { contains: _, minContains: __, maxContains: ___, ...left } = schema;
    return left;
  }
  if (rest.length === 0) return others;
  if (Array.isArray(value)) {
    const list = value.map((one: Json, i) => (String(i) === rest[0] ? without(one, rest.slice(1)) : one));
    if (key !== "oneOf") return { ...schema, [key]: list };
    const branches = { anyOf: list };
    return others.anyOf === undefined
      ? { ...others, ...branches }
      : { ...others, allOf: [...listOf(others.allOf), branches] };
  }
  if (NAMED.has(key) && isObject(value)) {
    const [name, ...inner] = rest;
    if (!Object.hasOwn(value, name!)) return others;
    return { ...schema, [key]: changed(value, (one, own) => (own === name ? without(one, inner) : one)) };
  }
  return { ...schema, [key]: without(value, rest) };
}

const NAMED = new Set("properties patternProperties dependentSchemas dependencies $defs definitions".split(" "));

function listOf(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? value : [];
}

/** What remains of a schema that cannot be enforced and cannot be relaxed further. */
function bare({ type }: JsonObject): Json {
  return type === undefined ? true : { type };
}

/** Keywords that say where values are, not which ones are allowed. */
const PLACES = new Set("type properties $ref $defs definitions items prefixItems description title".split(" "));

/** Relaxes a schema that has no values, or too large a grammar, by as little as possible. */
function mended(schema: Json, root: JsonObject, tries: Tries): Json {
  if (!isObject(schema)) return true;
  const { $defs = {}, definitions = {} } = root;
  const good = (one: Json): boolean => tries.faultOf(isObject(one) ? { $defs, definitions, ...one } : one) === null;
  let out = schema;
  for (const key of ["properties", "items"]) {
    const value = out[key];
    if (value === undefined) continue;
    const mend = (one: Json): Json => (good(one) ? one : mended(one, root, tries));
    out = { ...out, [key]: key === "properties" && isObject(value) ? changed(value, mend) : mend(value) };
  }
  if (good(out)) return out;
  const keys = Object.keys(out).filter((key) => !PLACES.has(key));
  for (const gone of [...keys.map((key) => [key]), keys]) {
    const fewer = Object.fromEntries(Object.entries(out).filter(([key]) => !gone.includes(key)));
    if (good(fewer)) return fewer;
  }
  return bare(schema);
}

/** JSON down to some levels. Anything is allowed below them. */
function cut(value: Json, levels: number): Json {
  if (typeof value !== "object" || value === null) return value;
  if (levels === 0) return true;
  if (Array.isArray(value)) return value.map((one: Json) => cut(one, levels - 1));
  return changed(value as JsonObject, (one) => cut(one, levels - 1));
}

function changed(value: JsonObject, change: (one: Json, key: string) => Json): JsonObject {
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, change(one, key)]));
}
