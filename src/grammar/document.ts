// A JSON schema as a document: its subschemas found, its keywords checked by name, its references resolved.

import { RequestError } from "../errors.ts";
import { Unsupported } from "./unsupported.ts";

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** One schema in the document. */
export interface Node {
  readonly id: number;
  /** Where it is: "#/properties/a". */
  readonly where: string;
  /** True and false allow everything and nothing. */
  readonly schema: boolean | JsonObject;
  /** The URI that references in it are relative to. */
  readonly base: string;
}

const MAX_BYTES = 256 * 1024;
const MAX_DEPTH = 100;
const DEFAULT_BASE = "http://schema.invalid/";
const DRAFTS = /^https?:\/\/json-schema\.org\/(draft\/2020-12|draft\/2019-09|draft-0[67])\/schema#?$/;
const DRAFT_7 = /draft-0[67]/;

/** Keywords by what they hold: one schema, a list of schemas, schemas by name. */
const ONE = [
  ..."additionalProperties propertyNames unevaluatedProperties additionalItems unevaluatedItems contains".split(" "),
  ..."not if then else items contentSchema".split(" "),
];
const LIST = ["allOf", "anyOf", "oneOf", "prefixItems"];
const NAMED = ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"];
/** Keywords with values of other kinds that are enforced. */
const OTHER = new Set([
  ..."type enum const multipleOf maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern".split(
    " ",
  ),
  ..."maxItems minItems uniqueItems maxContains minContains maxProperties minProperties required".split(" "),
  ..."dependentRequired dependencies $ref $dynamicRef $id $anchor $dynamicAnchor $schema format".split(" "),
]);
/** Keywords that say something about values and constrain none. */
const ANNOTATIONS = new Set([
  ..."title description default examples example deprecated readOnly writeOnly $comment".split(" "),
  ..."contentEncoding contentMediaType".split(" "),
]);
const KNOWN = new Set([...ONE, ...LIST, ...NAMED, ...OTHER, ...ANNOTATIONS]);

const NUMBERS = new Set(["multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"]);
const COUNTS = new Set(
  "maxLength minLength maxItems minItems maxContains minContains maxProperties minProperties".split(" "),
);
const TEXTS = new Set(["pattern", "format", "$ref", "$dynamicRef", "$id", "$anchor", "$dynamicAnchor", "$schema"]);
const TYPES = new Set(["null", "boolean", "number", "integer", "string", "array", "object"]);

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The own value of a key: `__proto__` and `toString` are keys like any other. */
export function own(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/** The error for what stands at a place of a schema. */
export function refuse(where: string, keyword: string, why = "is not supported"): RequestError {
  return new RequestError(`json_schema: keyword \`${keyword}\` at ${where} ${why}`);
}

export class Document {
  readonly root: Node;
  /** The schema that allows nothing. */
  readonly never: Node;
  readonly #nodes: Node[] = [];
  readonly #byPlace = new Map<string, Node>();
  /** Absolute URI, with an anchor where there is one -> schema. */
  readonly #byUri = new Map<string, Node>();
  /** How often each name is a $dynamicAnchor, and where it is one. */
  readonly #dynamic = new Map<string, Node[]>();
  readonly #draft7: boolean;

  /** @throws RequestError for what is no schema, is too large or too deep, or has a keyword that is not supported */
  constructor(schema: unknown) {
    if (typeof schema !== "boolean" && !isObject(schema))
      throw new RequestError(`json_schema: expected an object, found ${shown(schema)}`);
    checkSize(schema);
    const draft = isObject(schema) ? own(schema, "$schema") : undefined;
    if (draft !== undefined && !(typeof draft === "string" && DRAFTS.test(draft)))
      throw refuse("#", "$schema", `names a dialect that is not supported: ${shown(draft)}`);
    this.#draft7 = typeof draft === "string" && DRAFT_7.test(draft);
    this.never = this.#add(false, "nothing", DEFAULT_BASE);
    this.root = this.#visit(schema, "#", DEFAULT_BASE);
    this.#byUri.set(DEFAULT_BASE, this.root);
  }

  /** A schema made of others, which the document does not spell. */
  anyOf(nodes: readonly Node[], where: string): Node {
    const place = `${where} any of ${nodes.map((node) => node.where).join()}`;
    const known = this.#byPlace.get(place);
    if (known) return known;
    const schema = { anyOf: nodes.map((node) => node.schema) } as JsonObject;
    const node = this.#add(schema, place, nodes[0]!.base);
    for (const [i, part] of nodes.entries()) this.#byPlace.set(`${place}/anyOf/${i}`, part);
    return node;
  }

  node(id: number): Node {
    return this.#nodes[id]!;
  }

  /** The subschema under a keyword (and an index or a name). */
  child(node: Node, ...path: readonly (string | number)[]): Node {
    return this.#byPlace.get(node.where + path.map((key) => `/${escapeKey(String(key))}`).join(""))!;
  }

  /** The schema that stands in for a constant. */
  constant(value: Json, where: string): Node {
    const place = `${where} ${JSON.stringify(value)}`;
    return this.#byPlace.get(place) ?? this.#add({ const: value }, place, DEFAULT_BASE);
  }

  /** What a $ref or $dynamicRef stands for. @throws RequestError where that is not in the document, or depends on the caller */
  resolve(node: Node, keyword: "$ref" | "$dynamicRef"): Node {
    const reference = String((node.schema as JsonObject)[keyword]);
    let uri: URL;
    try {
      uri = new URL(reference, node.base);
    } catch {
      throw refuse(node.where, keyword, `is no URI reference: ${shown(reference)}`);
    }
    const fragment = decode(uri.hash.slice(1));
    uri.hash = "";
    const home = this.#byUri.get(uri.href);
    if (!home) throw refuse(node.where, keyword, `refers to ${shown(reference)}, which is not part of the schema`);
    const found =
      fragment === "" || fragment.startsWith("/")
        ? this.#pointer(home, fragment)
        : this.#byUri.get(`${uri.href}#${fragment}`);
    if (!found) throw refuse(node.where, keyword, `refers to ${shown(reference)}, which the schema does not have`);
    if (keyword === "$dynamicRef" && !fragment.startsWith("/")) {
      const bookend = isObject(found.schema) && own(found.schema, "$dynamicAnchor") === fragment;
      if (bookend && (this.#dynamic.get(fragment) ?? []).length > 1)
        throw refuse(
          node.where,
          keyword,
          `is not supported where several schemas are $dynamicAnchor ${shown(fragment)}`,
        );
    }
    return found;
  }

  #pointer(home: Node, pointer: string): Node | undefined {
    let value: Json = home.schema;
    let { where, base } = home;
    const keys = pointer.split("/").slice(1);
    const known = this.#byPlace.get(where + keys.map((key) => `/${key}`).join(""));
    if (known) return known;
    for (const raw of keys) {
      const key = raw.replaceAll("~1", "/").replaceAll("~0", "~");
      const next: Json | undefined = Array.isArray(value)
        ? (value as readonly Json[])[Number(key)]
        : isObject(value)
          ? own(value, key)
          : undefined;
      if (next === undefined) return undefined;
      value = next;
      where += `/${raw}`;
      const at = this.#byPlace.get(where);
      if (at) base = at.base;
    }
    if (typeof value !== "boolean" && !isObject(value)) return undefined;
    return this.#byPlace.get(where) ?? this.#visit(value, where, base);
  }

  #add(schema: boolean | JsonObject, where: string, base: string): Node {
    const node: Node = { id: this.#nodes.length, where, schema, base };
    this.#nodes.push(node);
    this.#byPlace.set(where, node);
    return node;
  }

  #visit(schema: Json | undefined, where: string, outer: string): Node {
    if (typeof schema !== "boolean" && !isObject(schema))
      throw new RequestError(`json_schema: expected a schema at ${where}, found ${shown(schema)}`);
    if (typeof schema === "boolean") return this.#add(schema, where, outer);
    for (const key of Object.keys(schema)) if (!KNOWN.has(key) && !key.startsWith("x-")) throw refuse(where, key);
    for (const key of Object.keys(schema)) checkValue(schema, key, where);
    const id = own(schema, "$id");
    let base = outer;
    // In draft 7 what stands beside a $ref is ignored.
    const alone = this.#draft7 && own(schema, "$ref") !== undefined;
    if (typeof id === "string" && !alone) {
      try {
        const uri = new URL(id, outer);
        const anchor = uri.hash;
        uri.hash = "";
        base = anchor === "" || anchor === "#" || !this.#draft7 ? uri.href : outer;
        const node = this.#add(this.#modern(schema, where), where, base);
        this.#byUri.set(anchor.length > 1 ? uri.href + anchor : uri.href, node);
      } catch {
        throw refuse(where, "$id", `is no URI reference: ${shown(id)}`);
      }
    } else this.#add(this.#modern(schema, where), where, base);
    const node = this.#byPlace.get(where)!;
    for (const key of ["$anchor", "$dynamicAnchor"]) {
      const name = own(schema, key);
      if (typeof name !== "string") continue;
      this.#byUri.set(`${base}#${name}`, node);
      if (key === "$dynamicAnchor") this.#dynamic.set(name, [...(this.#dynamic.get(name) ?? []), node]);
    }
    const modern = node.schema as JsonObject;
    for (const key of ONE) {
      const part = own(modern, key);
      if (part !== undefined && key !== "contentSchema") this.#visit(part, `${where}/${key}`, base);
    }
    for (const key of LIST) {
      const list = own(modern, key);
      if (list === undefined) continue;
      if (!Array.isArray(list)) throw refuse(where, key, `holds ${shown(list)}, expected a list of schemas`);
      for (const [i, part] of list.entries()) this.#visit(part, `${where}/${key}/${i}`, base);
    }
    for (const key of NAMED) {
      const named = own(modern, key);
      if (named === undefined) continue;
      if (!isObject(named)) throw refuse(where, key, `holds ${shown(named)}, expected schemas by name`);
      for (const [name, part] of Object.entries(named)) this.#visit(part, `${where}/${key}/${escapeKey(name)}`, base);
    }
    return node;
  }

  /** The schema in the words of draft 2020-12. */
  #modern(schema: JsonObject, where: string): JsonObject {
    if (this.#draft7 && own(schema, "$ref") !== undefined) {
      const { $ref, $defs, definitions } = schema;
      return { $ref: $ref!, ...($defs !== undefined && { $defs }), ...(definitions !== undefined && { definitions }) };
    }
    const out: Record<string, Json> = Object.assign(Object.create(null), schema);
    const items = own(schema, "items");
    if (Array.isArray(items)) {
      delete out.items;
      out.prefixItems = items;
      const rest = own(schema, "additionalItems");
      if (rest !== undefined) out.items = rest;
    }
    delete out.additionalItems; // without a list of items it says nothing
    const dependencies = own(schema, "dependencies");
    if (dependencies !== undefined) {
      if (!isObject(dependencies)) throw refuse(where, "dependencies", "expects an object");
      delete out.dependencies;
      const entries = Object.entries(dependencies);
      const kept = (key: string): readonly [string, Json][] => Object.entries((own(schema, key) as JsonObject) ?? {});
      out.dependentRequired = byName([...kept("dependentRequired"), ...entries.filter(([, v]) => Array.isArray(v))]);
      out.dependentSchemas = byName([...kept("dependentSchemas"), ...entries.filter(([, v]) => !Array.isArray(v))]);
    }
    return out;
  }
}

function byName(entries: readonly (readonly [string, Json])[]): JsonObject {
  const out = Object.create(null) as Record<string, Json>;
  for (const [name, value] of entries) out[name] = value;
  return out;
}

/** Depth and size before anything recurses into it. */
function checkSize(schema: unknown): void {
  let size = 0;
  const stack: { readonly value: unknown; readonly depth: number }[] = [{ value: schema, depth: 0 }];
  while (stack.length > 0) {
    const { value, depth } = stack.pop()!;
    if (depth > MAX_DEPTH)
      throw new RequestError(`json_schema: nested more than ${MAX_DEPTH} deep; use $ref and $defs`);
    size += typeof value === "string" ? value.length : 4;
    if (typeof value === "object" && value !== null) {
      for (const [key, part] of Object.entries(value)) {
        size += key.length;
        stack.push({ value: part, depth: depth + 1 });
      }
    }
    if (size > MAX_BYTES) throw new RequestError(`json_schema: larger than ${MAX_BYTES / 1024} KiB`);
  }
}

function checkValue(schema: JsonObject, key: string, where: string): void {
  const value = own(schema, key)!;
  const expect = (ok: boolean, what: string): void => {
    if (!ok) throw refuse(where, key, `holds ${shown(value)}, expected ${what}`);
  };
  if (NUMBERS.has(key)) {
    expect(typeof value === "number" && Number.isFinite(value), "a number");
    if (key === "multipleOf") expect((value as number) > 0, "a number above 0");
  } else if (COUNTS.has(key)) expect(Number.isSafeInteger(value) && (value as number) >= 0, "a whole number from 0");
  else if (TEXTS.has(key)) expect(typeof value === "string", "a text");
  else if (key === "uniqueItems") expect(typeof value === "boolean", "true or false");
  else if (key === "enum") expect(Array.isArray(value), "a list of values");
  else if (key === "required") expect(isTexts(value), "a list of names");
  else if (key === "dependentRequired")
    expect(isObject(value) && Object.values(value).every(isTexts), "lists of names by name");
  else if (key === "type") {
    const types = Array.isArray(value) ? value : [value];
    expect(
      types.every((type) => typeof type === "string" && TYPES.has(type)),
      `one of ${[...TYPES].join(", ")}`,
    );
  }
}

function isTexts(value: Json): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

function escapeKey(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}

function decode(fragment: string): string {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}

/** A value for a message, cut short. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** Gives what `compile` finds unsupported the place and keyword where it stands. */
export function at<T>(where: string, keyword: string, compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    if (error instanceof Unsupported) throw refuse(where, keyword, `needs ${error.message}, which is not supported`);
    throw error;
  }
}
