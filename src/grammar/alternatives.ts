// What a schema says about values of one type, as alternatives: each a list of conditions that all must hold.
//
// "not" is pushed down to single conditions, so every alternative is a plain conjunction, and schemas of parts of a value (a
// property, an item) stay as they are, each with a sign. Example, for objects:
//   {"required": ["a"], "not": {"properties": {"b": S}}}   ->   [[need a, need b, the value of b is not S]]

import type { Dfa } from "./automaton.ts";
import { type Document, type Json, type JsonObject, type Node, own, refuse } from "./document.ts";
import { numberKeyword, patternAtom, stringKeyword } from "./leaves.ts";
import { type Atom, type Names, named, others } from "./names.ts";
import {
  type All,
  type Alternative,
  alternative,
  and,
  at_,
  FALSE,
  limit,
  one,
  type Part,
  type Signed,
  sign,
  size,
  sizes,
  TRUE,
  type Type,
} from "./parts.ts";
import { Unsupported } from "./unsupported.ts";

export class Expansion {
  readonly #document: Document;
  readonly #active = new Set<string>();
  /** The names that a schema allows for properties: given by who can compile strings. */
  readonly namesOf: (all: All) => Dfa;

  constructor(document: Document, namesOf: (all: All) => Dfa) {
    this.#document = document;
    this.namesOf = namesOf;
  }

  /** Values of `type` that meet all of them. */
  all(all: All, type: Type): readonly Alternative[] {
    return all.reduce((out, signed) => and(out, this.#signed(signed, type)), TRUE);
  }

  #signed(signed: Signed, type: Type): readonly Alternative[] {
    return this.#node(this.#document.node(signed >> 1), (signed & 1) === 0, type);
  }

  #node(node: Node, is: boolean, type: Type): readonly Alternative[] {
    const { schema } = node;
    if (typeof schema === "boolean") return schema === is ? TRUE : FALSE;
    const key = `${node.id} ${is} ${type}`;
    if (this.#active.has(key)) throw refuse(node.where, "$ref", "refers to itself without end");
    this.#active.add(key);
    try {
      const found: (readonly Alternative[])[] = [];
      for (const keyword of Object.keys(schema)) found.push(this.#keyword(node, schema, keyword, is, type));
      if (!is) return limit(found.flat(), node).map((one) => ({ ...one, names: [], items: 0 }));
      return this.#unevaluated(node, schema, type, found.reduce(and, TRUE));
    } catch (error) {
      if (error instanceof Unsupported) throw refuse(node.where, "anyOf", `needs ${error.message}`);
      throw error;
    } finally {
      this.#active.delete(key);
    }
  }

  /** One keyword, or its negation. Keywords for other types say nothing: they hold. */
  #keyword(node: Node, schema: JsonObject, keyword: string, is: boolean, type: Type): readonly Alternative[] {
    const value = own(schema, keyword)!;
    const nothing = is ? TRUE : FALSE;
    const sub = (...path: (string | number)[]): Node => this.#document.child(node, keyword, ...path);
    const positive = (one: Node): readonly Alternative[] => this.#node(one, is, type);
    switch (keyword) {
      case "$ref":
      case "$dynamicRef":
        return positive(this.#document.resolve(node, keyword));
      case "type":
        return this.#type(Array.isArray(value) ? value : [value], is, type);
      case "const":
        return this.#constant(value, `${node.where}/const`, is, type);
      case "enum": {
        const each = (value as readonly Json[]).map((one, i) =>
          this.#constant(one, `${node.where}/enum/${i}`, is, type),
        );
        return is ? limit(each.flat(), node) : each.reduce(and, TRUE);
      }
      case "allOf":
      case "anyOf": {
        const each = (value as readonly Json[]).map((_, i) => positive(sub(i)));
        return (keyword === "allOf") === is ? each.reduce(and, TRUE) : limit(each.flat(), node);
      }
      case "oneOf":
        return this.#oneOf(
          (value as readonly Json[]).map((_, i) => sub(i)),
          is,
          type,
          node,
        );
      case "not":
        return this.#node(sub(), !is, type).map((one) => ({ ...one, names: [], items: 0 }));
      case "if":
        return this.#conditional(node, schema, is, type);
      default:
        if (type === "number") return numberKeyword(keyword, value, is) ?? nothing;
        if (type === "string") return stringKeyword(node, keyword, value, is) ?? nothing;
        if (type === "array") return this.#arrayKeyword(node, schema, keyword, value, is) ?? nothing;
        if (type === "object") return this.#objectKeyword(node, schema, keyword, value, is) ?? nothing;
        return nothing;
    }
  }

  #type(types: readonly Json[], is: boolean, type: Type): readonly Alternative[] {
    if (type === "number" && types.includes("integer") && !types.includes("number"))
      return one({ kind: "number", part: { kind: "integer", is } });
    return types.includes(type) === is ? TRUE : FALSE;
  }

  #oneOf(nodes: readonly Node[], is: boolean, type: Type, node: Node): readonly Alternative[] {
    // Those that say nothing of this type need not be told apart from it.
    const yes = nodes.map((one) => this.#node(one, true, type));
    const candidates = nodes.flatMap((one, i) => (yes[i]!.length > 0 ? [{ one, yes: yes[i]! }] : []));
    const no = candidates.length > 1 || !is ? candidates.map(({ one }) => this.#node(one, false, type)) : [];
    const exactly = (i: number): readonly Alternative[] =>
      candidates.reduce((out, c, j) => and(out, j === i ? c.yes : no[j]!), TRUE);
    if (is)
      return limit(
        candidates.flatMap((_, i) => exactly(i)),
        node,
      );
    const none = no.reduce(and, TRUE);
    const two = candidates.flatMap((a, i) => candidates.slice(i + 1).flatMap((b) => and(a.yes, b.yes)));
    return limit([...none, ...two], node);
  }

  #conditional(node: Node, schema: JsonObject, is: boolean, type: Type): readonly Alternative[] {
    const branch = (keyword: string): readonly Alternative[] =>
      own(schema, keyword) === undefined
        ? is
          ? TRUE
          : FALSE
        : this.#node(this.#document.child(node, keyword), is, type);
    const condition = this.#document.child(node, "if");
    const met = and(this.#node(condition, true, type), branch("then"));
    const unmet =
      own(schema, "else") === undefined && !is ? FALSE : and(this.#node(condition, false, type), branch("else"));
    return limit([...met, ...unmet], node);
  }

  /** A constant, part by part: an object is its members, an array its items. */
  #constant(value: Json, where: string, is: boolean, type: Type): readonly Alternative[] {
    const own: Type =
      value === null
        ? "null"
        : Array.isArray(value)
          ? "array"
          : (typeof value as "boolean" | "number" | "string" | "object");
    if (own !== type) return is ? FALSE : TRUE;
    const part = (inner: Json, key: string | number): Signed =>
      sign(this.#document.constant(inner, `${where}/${key}`), is);
    if (typeof value === "boolean") return one({ kind: "boolean", value: value === is });
    if (typeof value === "number") return one({ kind: "number", part: { kind: "equal", value, is } });
    if (typeof value === "string") return one({ kind: "text", value, is });
    if (Array.isArray(value)) {
      const count = value.length;
      const items = value.map((inner: Json, i: number) => [part(inner, i)]);
      if (is) return [alternative(...size(count, count), { kind: "items", prefix: items, rest: [] })];
      const differs = items.map((all, i) => alternative(...size(i + 1, null), at_(i, all)));
      return [...sizes(count, count, false), ...differs];
    }
    if (value === null) return is ? TRUE : FALSE;
    const object = value as JsonObject;
    const keys = Object.keys(object);
    const rest = others(keys, []);
    if (is) {
      const members = keys.flatMap((name): Part[] => [
        { kind: "need", name },
        { kind: "each", names: named(name), all: [part(own_(object, name), name)] },
      ]);
      return [alternative(...members, { kind: "each", names: rest, all: this.#never })];
    }
    return [
      ...keys.flatMap((name) => [
        alternative({ kind: "each", names: named(name), all: this.#never }),
        alternative(
          { kind: "need", name },
          { kind: "each", names: named(name), all: [part(own_(object, name), name)] },
        ),
      ]),
      alternative({ kind: "one", names: rest, all: [] }),
    ];
  }

  get #never(): All {
    return [sign(this.#document.never, true)];
  }

  #arrayKeyword(
    node: Node,
    schema: JsonObject,
    keyword: string,
    value: Json,
    is: boolean,
  ): readonly Alternative[] | null {
    const child = (...path: (string | number)[]): Signed => sign(this.#document.child(node, ...path), is);
    const prefix = own(schema, "prefixItems");
    const fixed = Array.isArray(prefix) ? prefix.length : 0;
    switch (keyword) {
      case "minItems":
        return sizes(value as number, null, is);
      case "maxItems":
        return sizes(0, value as number, is);
      case "uniqueItems":
        if (value === false) return null;
        // Arrays with equal items are not written where the keyword is negated: that allows less, and is true.
        return is ? one({ kind: "unique", where: node.where }) : null;
      case "prefixItems": {
        const items = (value as readonly Json[]).map((_, i) => [child(keyword, i)]);
        if (is) return [{ parts: [{ kind: "items", prefix: items, rest: [] }], names: [], items: items.length }];
        return items.map((all, i) => alternative(...size(i + 1, null), at_(i, all)));
      }
      case "items": {
        const all = [child(keyword)];
        const none = Array.from({ length: fixed }, () => []);
        if (is)
          return [{ parts: [{ kind: "items", prefix: none, rest: all }], names: [], items: Number.POSITIVE_INFINITY }];
        return one({ kind: "some", from: fixed, all, min: 1, max: null });
      }
      case "contains": {
        const all = [sign(this.#document.child(node, keyword), true)];
        const min = (own(schema, "minContains") as number | undefined) ?? 1;
        const max = (own(schema, "maxContains") as number | undefined) ?? null;
        if (is) return min === 0 && max === null ? TRUE : one({ kind: "some", from: 0, all, min, max });
        const fewer = min > 0 ? one({ kind: "some", from: 0, all, min: 0, max: min - 1 }) : FALSE;
        return max === null ? fewer : [...fewer, ...one({ kind: "some", from: 0, all, min: max + 1, max: null })];
      }
      default:
        return null;
    }
  }

  #objectKeyword(
    node: Node,
    schema: JsonObject,
    keyword: string,
    value: Json,
    is: boolean,
  ): readonly Alternative[] | null {
    const child = (...path: (string | number)[]): Signed => sign(this.#document.child(node, ...path), is);
    switch (keyword) {
      case "minProperties":
        return sizes(value as number, null, is);
      case "maxProperties":
        return sizes(0, value as number, is);
      case "required":
        return this.#needs(value as readonly string[], is);
      case "dependentRequired":
        return Object.entries(value as JsonObject).reduce<readonly Alternative[]>(
          (out, [name, wanted]) => this.#depends(out, name, this.#needs(wanted as readonly string[], is), is),
          is ? TRUE : FALSE,
        );
      case "dependentSchemas":
        return Object.keys(value as JsonObject).reduce<readonly Alternative[]>(
          (out, name) =>
            this.#depends(out, name, this.#node(this.#document.child(node, keyword, name), is, "object"), is),
          is ? TRUE : FALSE,
        );
      case "properties": {
        const members = Object.keys(value as JsonObject).map((name) => ({ name, all: [child(keyword, name)] }));
        if (!is)
          return members.map(({ name, all }) =>
            alternative({ kind: "need", name }, { kind: "each", names: named(name), all }),
          );
        const parts = members.map(({ name, all }): Part => ({ kind: "each", names: named(name), all }));
        return [{ parts, names: members.map(({ name }) => named(name)), items: 0 }];
      }
      case "patternProperties": {
        const members = Object.keys(value as JsonObject).map((pattern) => ({
          names: { atoms: [patternAtom(node, keyword, pattern)], negated: false },
          all: [child(keyword, pattern)],
        }));
        if (!is) return members.map(({ names, all }) => alternative({ kind: "one", names, all }));
        const parts = members.map(({ names, all }): Part => ({ kind: "each", names, all }));
        return [{ parts, names: members.map(({ names }) => names), items: 0 }];
      }
      case "additionalProperties": {
        const names = this.#additional(node, schema);
        const all = [child(keyword)];
        if (!is) return one({ kind: "one", names, all });
        return [{ parts: [{ kind: "each", names, all }], names: [others([], [])], items: 0 }];
      }
      case "propertyNames": {
        const allowed = this.namesOf([sign(this.#document.child(node, keyword), true)]);
        const names: Names = { atoms: [{ dfa: allowed, key: `${node.id} names` }], negated: true };
        return one(is ? { kind: "each", names, all: this.#never } : { kind: "one", names, all: [] });
      }
      default:
        return null;
    }
  }

  #needs(names: readonly string[], is: boolean): readonly Alternative[] {
    if (is) return [alternative(...names.map((name): Part => ({ kind: "need", name })))];
    return names.map((name) => alternative({ kind: "each", names: named(name), all: this.#never }));
  }

  /** "If there is such a property, then ...", or its negation beside others. */
  #depends(
    out: readonly Alternative[],
    name: string,
    then: readonly Alternative[],
    is: boolean,
  ): readonly Alternative[] {
    const present = one({ kind: "need", name });
    if (!is) return [...out, ...and(present, then)];
    const absent = one({ kind: "each", names: named(name), all: this.#never });
    return and(out, [...absent, ...and(present, then)]);
  }

  #additional(node: Node, schema: JsonObject): Names {
    const properties = Object.keys((own(schema, "properties") ?? {}) as JsonObject);
    const patterns = Object.keys((own(schema, "patternProperties") ?? {}) as JsonObject);
    return others(
      properties,
      patterns.map((pattern) => patternAtom(node, "patternProperties", pattern)),
    );
  }

  /** unevaluatedProperties and unevaluatedItems, which depend on what all the others have looked at. */
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
    // Items that `contains` finds are looked at as well.
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

function own_(object: JsonObject, name: string): Json {
  return own(object, name)!;
}

/** Names that are in none of these. */
function complementOf(all: readonly Names[]): Names {
  if (all.every((names) => !names.negated)) return { atoms: all.flatMap((names) => names.atoms), negated: true };
  // Atoms that stand for a set each.
  return {
    atoms: all.map(
      (names): Atom => ({ names, key: JSON.stringify(names.atoms.map((atom) => atom.key)) + names.negated }),
    ),
    negated: true,
  };
}
