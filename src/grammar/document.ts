// A JSON schema as a document: finds its subschemas, checks its keywords, resolves its references.

import { RequestError } from "../errors.ts";
import { type Dialect, dialectOf, modern } from "./dialect.ts";
import { isFormat } from "./formats.ts";
import {
  checkValue,
  isObject,
  isUnknown,
  type Json,
  type JsonObject,
  LIST,
  NAMED,
  ONE,
  own,
  refuse,
  shown,
} from "./keywords.ts";

/** One schema of the document. */
export interface Node {
  readonly id: number;
  /** Where it is: "#/properties/a". */
  readonly where: string;
  /** Translated to draft 2020-12. True allows everything, false nothing. */
  readonly schema: boolean | JsonObject;
  /** As the document spells it: references are resolved in this form. */
  readonly raw: boolean | JsonObject;
  /** Why it cannot be used, if so. A faulty schema that is never referred to does no harm. */
  readonly fault: RequestError | null;
  /** The URI that references in it are relative to. */
  readonly base: string;
}

const MAX_BYTES = 4 * 1024 * 1024;
const MAX_DEPTH = 100;
const MAX_WARNINGS = 20;
const DEFAULT_BASE = "http://schema.invalid/";

export class Document {
  readonly root: Node;
  /** The schema that allows nothing. */
  readonly never: Node;
  readonly #nodes: Node[] = [];
  readonly #byPlace = new Map<string, Node>();
  /** Absolute URI, with an anchor where there is one -> schema. */
  readonly #byUri = new Map<string, Node>();
  /** The schemas that have each name as their $dynamicAnchor. */
  readonly #dynamic = new Map<string, Node[]>();
  readonly #dialect: Dialect;
  /** Unknown keywords and formats, each with a sentence that says where it was first found. */
  readonly #unknown = new Map<string, string>();

  /** @throws RequestError for a value that is not a schema, or one that is too large or too deep */
  constructor(schema: unknown) {
    if (typeof schema !== "boolean" && !isObject(schema))
      throw new RequestError(`json_schema: expected an object, found ${shown(schema)}`);
    checkSize(schema);
    this.#dialect = dialectOf(schema);
    if (this.#dialect.unknown !== null) {
      const name = shown(this.#dialect.unknown);
      this.#unknown.set("$schema", `keyword \`$schema\` at # names ${name}, which is not known: read as draft 2020-12`);
    }
    this.never = this.#add(false, "nothing", DEFAULT_BASE);
    this.root = this.#visit(schema, "#", DEFAULT_BASE);
    this.#byUri.set(DEFAULT_BASE, this.root);
    this.#alias(schema);
  }

  /** Sentences about the parts of the schema that constrain nothing. */
  get warnings(): readonly string[] {
    const all = [...this.#unknown.values()];
    const more = all.length - MAX_WARNINGS;
    return more > 0 ? [...all.slice(0, MAX_WARNINGS), `${more} more are not known and constrain nothing`] : all;
  }

  /**
   * Whether the standard ignores keywords beside a $ref. Validators differ: some apply them
   * all the same.
   */
  get ignoresBesideRef(): boolean {
    return this.#dialect.old;
  }

  /** A schema composed of others, which the document itself does not contain. */
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

  /** The subschema under a keyword (then an index or a name). */
  child(node: Node, ...path: readonly (string | number)[]): Node {
    return this.#byPlace.get(node.where + path.map((key) => `/${escapeKey(String(key))}`).join(""))!;
  }

  /** A schema that allows one constant. */
  constant(value: Json, where: string): Node {
    const place = `${where} ${JSON.stringify(value)}`;
    return this.#byPlace.get(place) ?? this.#add({ const: value }, place, DEFAULT_BASE);
  }

  /**
   * The schema that a reference means.
   * @throws RequestError where the document lacks it, or where it depends on the path of references
   */
  resolve(node: Node, keyword: "$ref" | "$dynamicRef" | "$recursiveRef"): Node {
    const reference = String((node.schema as JsonObject)[keyword]);
    let uri: URL;
    try {
      uri = new URL(reference, node.base);
    } catch {
      throw refuse(node.where, keyword, `is not a URI reference: ${shown(reference)}`);
    }
    const fragment = decode(uri.hash.slice(1));
    uri.hash = "";
    const home = this.#byUri.get(uri.href);
    const pointed = fragment === "" || fragment.startsWith("/");
    let found: Node | undefined;
    if (home) found = pointed ? this.#pointer(home, fragment) : this.#byUri.get(`${uri.href}#${fragment}`);
    // Ids of old schemas are often mere labels: then their references mean places in
    // the document itself.
    if (!found && this.#dialect.old && reference.startsWith("#"))
      found = pointed ? this.#pointer(this.root, fragment) : this.#byUri.get(`${this.root.base}#${fragment}`);
    if (!found && !home)
      throw refuse(node.where, keyword, `refers to ${shown(reference)}, which is not part of the schema`);
    if (!found) throw refuse(node.where, keyword, `refers to ${shown(reference)}, which the schema does not have`);
    const dynamic = (anchor: string): void => {
      if ((this.#dynamic.get(anchor) ?? []).length > 1)
        throw refuse(
          node.where,
          keyword,
          `is not supported where several schemas are dynamic anchors${anchor === "" ? "" : ` ${shown(anchor)}`}`,
        );
    };
    const target = isObject(found.schema) ? found.schema : {};
    if (keyword === "$dynamicRef" && !pointed && own(target, "$dynamicAnchor") === fragment) dynamic(fragment);
    if (keyword === "$recursiveRef" && own(target, "$recursiveAnchor") === true) dynamic("");
    return found;
  }

  #pointer(home: Node, pointer: string): Node | undefined {
    let value: Json = home.raw;
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

  #add(
    schema: boolean | JsonObject,
    where: string,
    base: string,
    raw: boolean | JsonObject = schema,
    fault: RequestError | null = null,
  ): Node {
    const node: Node = { id: this.#nodes.length, where, schema, base, raw, fault };
    this.#nodes.push(node);
    this.#byPlace.set(where, node);
    return node;
  }

  #visit(schema: Json | undefined, where: string, outer: string): Node {
    if (typeof schema === "boolean") return this.#add(schema, where, outer);
    if (!isObject(schema)) {
      const fault = new RequestError(`json_schema: expected a schema at ${where}, found ${shown(schema)}`);
      return this.#add(true, where, outer, true, fault);
    }
    for (const key of Object.keys(schema)) if (isUnknown(key)) this.#notice(`keyword \`${shorten(key)}\``, where);
    let [words, fault]: [JsonObject, RequestError | null] = [schema, null];
    try {
      words = modern(schema, where);
      for (const key of Object.keys(words)) checkValue(words, key, where);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      fault = error;
    }
    const { format } = words;
    if (typeof format === "string" && !isFormat(format)) this.#notice(`format ${shown(format)}`, where);
    const [base, anchor] = this.#identity(schema, outer);
    const node = this.#add(words, where, base, schema, fault);
    if (anchor !== null) this.#byUri.set(anchor, node);
    else if (base !== outer) this.#byUri.set(base, node);
    for (const key of ["$anchor", "$dynamicAnchor"]) {
      const name = own(schema, key);
      if (typeof name !== "string") continue;
      this.#byUri.set(`${base}#${name}`, node);
      if (key === "$dynamicAnchor") this.#dynamic.set(name, [...(this.#dynamic.get(name) ?? []), node]);
    }
    if (own(schema, "$recursiveAnchor") === true) this.#dynamic.set("", [...(this.#dynamic.get("") ?? []), node]);
    for (const key of ONE) {
      const part = own(words, key);
      if (part !== undefined) this.#visit(part, `${where}/${key}`, base);
    }
    for (const key of LIST) {
      const list = own(words, key);
      if (Array.isArray(list)) for (const [i, part] of list.entries()) this.#visit(part, `${where}/${key}/${i}`, base);
    }
    for (const key of NAMED) {
      const named = own(words, key);
      if (!isObject(named)) continue;
      for (const [name, part] of Object.entries(named)) this.#visit(part, `${where}/${key}/${escapeKey(name)}`, base);
    }
    return node;
  }

  /**
   * The base URI of a schema; and where its id is an anchor (old drafts), the URI with the anchor.
   */
  #identity(schema: JsonObject, outer: string): readonly [base: string, anchor: string | null] {
    const { id: keyword, old } = this.#dialect;
    const id = own(schema, keyword);
    // Old drafts ignore keywords beside a $ref.
    if (typeof id !== "string" || (old && own(schema, "$ref") !== undefined)) return [outer, null];
    let uri: URL;
    try {
      uri = new URL(id, outer);
    } catch {
      return [outer, null]; // a label: nothing can refer to it
    }
    const anchor = uri.hash;
    uri.hash = "";
    return old && anchor.length > 1 ? [outer, uri.href + anchor] : [uri.href, null];
  }

  /** A schema with `id` that does not declare draft 4 may still refer to itself by that id. */
  #alias(schema: boolean | JsonObject): void {
    const id = isObject(schema) ? own(schema, "id") : undefined;
    if (typeof id !== "string") return;
    try {
      const uri = new URL(id, DEFAULT_BASE);
      uri.hash = "";
      if (!this.#byUri.has(uri.href)) this.#byUri.set(uri.href, this.root);
    } catch {
      // a label
    }
  }

  #notice(what: string, where: string): void {
    if (!this.#unknown.has(what)) this.#unknown.set(what, `${what} at ${where} is not known: it constrains nothing`);
  }
}

/** Checks depth and size before any other code recurses into the schema. */
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

function shorten(name: string): string {
  return name.length > 40 ? `${name.slice(0, 40)}...` : name;
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
