// Joins schemas that are documents of their own: the parameters of tools, within the
// schema of calls.

import { RequestError } from "../errors.ts";
import { Document, type Node } from "./document.ts";
import type { Json } from "./keywords.ts";
import type { Printed } from "./print.ts";
import { ANY_OBJECT, namesPlace, relaxed, Tries } from "./relaxed.ts";
import { schemaGrammar } from "./schema.ts";
import type { JoinedSchema, SchemaPart } from "./types.ts";
import { writtenGrammar } from "./written.ts";

/** Keywords that name schemas for references. They are dropped: references are rewritten. */
const NAMES = new Set(
  "$id id $anchor $dynamicAnchor $recursiveAnchor $schema $vocabulary $defs definitions".split(" "),
);
const REFERENCES = ["$ref", "$dynamicRef", "$recursiveRef"] as const;

/**
 * The grammar of a schema with its parts in it. Where it cannot be compiled as it is, loose parts
 * are relaxed: keywords that cannot be enforced are dropped, and if the grammar is still too large,
 * the largest parts become "any object".
 * @param check throws for a grammar that is too large to compile
 * @throws RequestError with the label of a part that is not loose and cannot be enforced
 */
export function joinedGrammar(joined: JoinedSchema, check: (printed: Printed) => void): Printed {
  const print = (parts: readonly SchemaPart[]): Printed => {
    const whole = join(joined.schema, parts);
    const printed =
      joined.written === undefined ? schemaGrammar(whole) : writtenGrammar(new Document(whole), joined.written);
    if (printed === null) throw new RequestError("tools: no call meets the schemas of the tools");
    check(printed);
    return printed;
  };
  let { parts } = joined;
  try {
    return print(parts);
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    const tries = new Tries(check);
    const one = (part: SchemaPart): SchemaPart =>
      part.loose ? { ...part, schema: relaxed(part.schema, tries) } : whole(part);
    // With a single part, a fault of the whole is a fault of the part.
    if (parts.length === 1 || namesPlace(error.message)) parts = parts.map(one);
  }
  for (;;) {
    try {
      return print(parts);
    } catch (error) {
      const largest = parts
        .filter(({ loose, schema }) => loose && schema !== ANY_OBJECT)
        .sort((a, b) => sizeOf(b) - sizeOf(a));
      if (!(error instanceof RequestError) || largest.length === 0) throw error;
      const gone = new Set(largest.slice(0, Math.ceil(largest.length / 2)));
      parts = parts.map((part) => (gone.has(part) ? { ...part, schema: ANY_OBJECT } : part));
    }
  }
}

/** Checks a part that must be enforced as it is. @throws RequestError with its label */
function whole(part: SchemaPart): SchemaPart {
  try {
    schemaGrammar(part.schema);
    return part;
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    throw new RequestError(`${part.label}: ${error.message.replace(/^json_schema: /, "")}`);
  }
}

function sizeOf({ schema }: SchemaPart): number {
  return JSON.stringify(schema).length;
}

/**
 * Each part under $defs, translated to draft 2020-12, with names that cannot collide with those of
 * another part.
 */
function join(schema: object, parts: readonly SchemaPart[]): unknown {
  const defs = parts.flatMap((part) => [...new Embedding(part).schemas()]);
  return { ...schema, $defs: Object.fromEntries(defs) };
}

class Embedding {
  readonly #name: string;
  readonly #document: Document;
  /** Schemas that references mean, by their names under $defs. */
  readonly #named = new Map<string, Node>();

  constructor({ name, schema }: SchemaPart) {
    this.#name = name;
    this.#document = new Document(schema);
    this.#named.set(name, this.#document.root);
  }

  *schemas(): Generator<[string, Json]> {
    // Writing a schema may add others to the end of the map.
    for (const [name, node] of this.#named) yield [name, this.#write(node)];
  }

  #write(node: Node): Json {
    const { schema } = node;
    if (typeof schema === "boolean") return schema;
    const entries = new Map<string, Json>();
    for (const [key, value] of Object.entries(schema)) {
      if (!NAMES.has(key)) entries.set(key, this.#value(node, value, [key]));
    }
    const references = REFERENCES.flatMap((key) => {
      if (!entries.delete(key)) return [];
      return [{ $ref: this.#reference(this.#document.resolve(node, key)) }];
    });
    if (references.length === 1) entries.set("$ref", references[0]!.$ref);
    else if (references.length > 1) {
      entries.set("allOf", [...((entries.get("allOf") as Json[] | undefined) ?? []), ...references]);
    }
    return Object.fromEntries(entries);
  }

  /** Writes the schemas under a keyword, by position or name. Everything else is data. */
  #value(node: Node, value: Json, path: readonly (string | number)[]): Json {
    const child = this.#document.child(node, ...path) as Node | undefined;
    if (child) return this.#write(child);
    if (path.length > 1 || typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map((one: Json, i) => this.#value(node, one, [...path, i]));
    const entries = Object.entries(value).map(([name, one]) => [name, this.#value(node, one, [...path, name])]);
    return Object.fromEntries(entries);
  }

  #reference(target: Node): string {
    const name = target === this.#document.root ? this.#name : `${this.#name}.${target.id}`;
    this.#named.set(name, target);
    return `#/$defs/${name}`;
  }
}
