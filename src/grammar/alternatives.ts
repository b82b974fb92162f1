// A schema's conditions on values of one type, as alternatives: each is a list of conditions that
// all must hold.
//
// "not" is pushed down to single conditions, so every alternative is a plain conjunction.
// Schemas of parts of a value (a property, an item) stay as they are, each with a sign.
// Example, for objects:
//   {"required": ["a"], "not": {"properties": {"b": S}}}   ->   [[need a, need b, the value of b is not S]]

import { and, disjoint, or } from "./combine.ts";
import type { Dfa } from "./dfa.ts";
import type { Document, Node } from "./document.ts";
import { type Json, type JsonObject, own, refuse } from "./keywords.ts";
import { numberKeyword, stringKeyword } from "./leaves.ts";
import { type Atom, type Names, others } from "./names.ts";
import { type All, type Alternative, FALSE, one, type Part, sign, TRUE, TYPES, type Type } from "./parts.ts";
import { arrayKeyword, type Context, constants, objectKeyword } from "./structure.ts";
import { Unsupported } from "./unsupported.ts";

/** Nesting down to which schemas are examined for whether any value meets them. */
const MAX_LOOK = 3;
/**
 * Ways in which an object or array may fail another branch of a oneOf. If there are more, only the
 * first ones are used.
 */
const MAX_WAYS = 64;

export class Expansion {
  readonly #document: Document;
  readonly #context: Context;
  readonly #active = new Set<string>();
  readonly #known = new Map<string, readonly Alternative[]>();
  readonly #empty = new Map<string, boolean>();
  #looking = 0;

  /**
   * @param namesOf gives the property names that a schema allows: compiling strings is the caller's
   * part
   */
  constructor(document: Document, namesOf: (all: All) => Dfa) {
    this.#document = document;
    const node = (of: Node, is: boolean, type: Type): readonly Alternative[] => this.#node(of, is, type);
    this.#context = { document, node, namesOf, isEmpty: (all) => this.isEmpty(all) };
  }

  /** The values of `type` that meet all of these schemas. */
  all(all: All, type: Type): readonly Alternative[] {
    return all.reduce(
      (out, signed) => this.#and(out, this.#node(this.#document.node(signed >> 1), (signed & 1) === 0, type)),
      TRUE,
    );
  }

  /**
   * Whether no value meets all of these schemas; false also where finding out would take too long.
   */
  isEmpty(all: All): boolean {
    const key = all.join();
    const known = this.#empty.get(key);
    if (known !== undefined) return known;
    if (this.#looking >= MAX_LOOK) return false;
    this.#empty.set(key, false); // for a schema that contains itself
    this.#looking++;
    try {
      const found = TYPES.every((type) => this.all(all, type).length === 0);
      this.#empty.set(key, found);
      return found;
    } catch {
      return false; // compiling it will report the error
    } finally {
      this.#looking--;
    }
  }

  #and(a: readonly Alternative[], b: readonly Alternative[]): readonly Alternative[] {
    return and(a, b, this.#context.isEmpty);
  }

  #node(node: Node, is: boolean, type: Type): readonly Alternative[] {
    const { schema } = node;
    if (node.fault) throw node.fault;
    if (typeof schema === "boolean") return schema === is ? TRUE : FALSE;
    const key = `${node.id} ${is} ${type}`;
    const known = this.#known.get(key);
    if (known) return known;
    if (this.#active.has(key)) throw refuse(node.where, "$ref", "refers to itself without end");
    this.#active.add(key);
    try {
      const found: (readonly Alternative[])[] = [];
      // All keywords beside a $ref are enforced; its negation uses only what every reading of the
      // drafts agrees on.
      const alone = !is && this.#document.ignoresBesideRef && own(schema, "$ref") !== undefined;
      for (const keyword of alone ? ["$ref"] : Object.keys(schema))
        found.push(this.#keyword(node, schema, keyword, is, type));
      const out = is
        ? this.#unevaluated(
            node,
            schema,
            type,
            found.reduce((a, b) => this.#and(a, b), TRUE),
          )
        : or(found.flat()).map(unseen);
      this.#known.set(key, out);
      return out;
    } catch (error) {
      if (error instanceof Unsupported) throw refuse(node.where, "anyOf", `needs ${error.message}`);
      throw error;
    } finally {
      this.#active.delete(key);
    }
  }

  /** One keyword, or its negation. Keywords for other types hold for every value of this type. */
  #keyword(node: Node, schema: JsonObject, keyword: string, is: boolean, type: Type): readonly Alternative[] {
    const value = own(schema, keyword)!;
    const nothing = is ? TRUE : FALSE;
    const sub = (...path: (string | number)[]): Node => this.#document.child(node, keyword, ...path);
    const positive = (one: Node): readonly Alternative[] => this.#node(one, is, type);
    switch (keyword) {
      case "$ref":
      case "$dynamicRef":
      case "$recursiveRef":
        return positive(this.#document.resolve(node, keyword));
      case "type":
        return this.#type(Array.isArray(value) ? value : [value], is, type);
      case "const":
      case "enum": {
        const list = keyword === "const" ? [value] : (value as readonly Json[]);
        return constants(this.#document, list, `${node.where}/${keyword}`, is, type, this.#context.isEmpty);
      }
      case "allOf":
      case "anyOf": {
        const each = (value as readonly Json[]).map((_, i) => positive(sub(i)));
        return (keyword === "allOf") === is ? each.reduce((a, b) => this.#and(a, b), TRUE) : or(each.flat());
      }
      case "oneOf":
        return this.#oneOf(
          (value as readonly Json[]).map((_, i) => sub(i)),
          is,
          type,
        );
      case "not":
        return this.#node(sub(), !is, type).map(unseen);
      case "if":
        return this.#conditional(node, schema, is, type);
      default:
        if (type === "number") return numberKeyword(keyword, value, is) ?? nothing;
        if (type === "string") return stringKeyword(node, keyword, value, is) ?? nothing;
        if (type === "array") return arrayKeyword(this.#context, node, schema, keyword, value, is) ?? nothing;
        if (type === "object") return objectKeyword(this.#context, node, schema, keyword, value, is) ?? nothing;
        return nothing;
    }
  }

  #type(types: readonly Json[], is: boolean, type: Type): readonly Alternative[] {
    if (type === "number" && types.includes("integer") && !types.includes("number"))
      return one({ kind: "number", part: { kind: "integer", is } });
    return types.includes(type) === is ? TRUE : FALSE;
  }

  #oneOf(nodes: readonly Node[], is: boolean, type: Type): readonly Alternative[] {
    // Branches without values of this type need not be told apart.
    const candidates = nodes
      .map((node) => ({ node, yes: this.#node(node, true, type) }))
      .filter(({ yes }) => yes.length > 0);
    const no = (j: number): readonly Alternative[] => this.#node(candidates[j]!.node, false, type);
    const { isEmpty } = this.#context;
    if (!is) {
      const none = candidates.reduce((out, _, j) => this.#and(out, no(j)), TRUE);
      const two = candidates.flatMap((a, i) => candidates.slice(i + 1).flatMap((b) => this.#and(a.yes, b.yes)));
      return or([...none, ...two]);
    }
    const most = type === "object" || type === "array" ? MAX_WAYS : Number.POSITIVE_INFINITY;
    return or(
      candidates.flatMap(({ yes }, i) =>
        yes.flatMap((way) => {
          let out: readonly Alternative[] = [way];
          for (const [j, other] of candidates.entries())
            if (j !== i && !disjoint(out, other.yes, isEmpty)) out = and(out, no(j), isEmpty, most);
          return out;
        }),
      ),
    );
  }

  #conditional(node: Node, schema: JsonObject, is: boolean, type: Type): readonly Alternative[] {
    const branch = (keyword: string): readonly Alternative[] =>
      own(schema, keyword) === undefined
        ? is
          ? TRUE
          : FALSE
        : this.#node(this.#document.child(node, keyword), is, type);
    const condition = this.#document.child(node, "if");
    const met = this.#and(this.#node(condition, true, type), branch("then"));
    const unmet =
      own(schema, "else") === undefined && !is ? FALSE : this.#and(this.#node(condition, false, type), branch("else"));
    return or([...met, ...unmet]);
  }

  /**
   * unevaluatedProperties and unevaluatedItems: they apply to what no other keyword has evaluated.
   */
  #unevaluated(node: Node, schema: JsonObject, type: Type, found: readonly Alternative[]): readonly Alternative[] {
    const keyword = type === "object" ? "unevaluatedProperties" : type === "array" ? "unevaluatedItems" : null;
    if (keyword === null || own(schema, keyword) === undefined) return found;
    const child = this.#document.child(node, keyword);
    if (type === "object")
      return found.map((alternative) => {
        const seen = alternative.names;
        if (seen.some((names) => names.negated && names.atoms.length === 0)) return alternative;
        const names = complementOf(seen);
        const part: Part = { kind: "each", names, all: [sign(child, true)] };
        return { parts: [...alternative.parts, part], names: [others([], [])], items: 0 };
      });
    // Items that `contains` matches count as evaluated.
    const contains = own(schema, "contains") === undefined ? null : this.#document.child(node, "contains");
    const rest = contains === null ? child : this.#document.anyOf([contains, child], node.where);
    return found.map((alternative) => {
      if (alternative.items === Number.POSITIVE_INFINITY) return alternative;
      const prefix = Array.from({ length: alternative.items }, () => []);
      const part: Part = { kind: "items", prefix, rest: [sign(rest, true)] };
      return { ...alternative, parts: [...alternative.parts, part], items: Number.POSITIVE_INFINITY };
    });
  }
}

/** The same alternative with nothing evaluated. */
function unseen(one: Alternative): Alternative {
  return one.names.length === 0 && one.items === 0 ? one : { ...one, names: [], items: 0 };
}

/** The names that are in none of these sets. */
function complementOf(all: readonly Names[]): Names {
  if (all.every((names) => !names.negated)) return { atoms: all.flatMap((names) => names.atoms), negated: true };
  // Atoms that each stand for a set.
  return {
    atoms: all.map(
      (names): Atom => ({ names, key: JSON.stringify(names.atoms.map((atom) => atom.key)) + names.negated }),
    ),
    negated: true,
  };
}
