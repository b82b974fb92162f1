// Constants, and the keywords of arrays and objects, as conditions or as their negations.

import { and, type IsEmpty, or } from "./combine.ts";
import type { Dfa } from "./dfa.ts";
import type { Document, Node } from "./document.ts";
import { type Json, type JsonObject, own } from "./keywords.ts";
import { patternAtom } from "./leaves.ts";
import { type Names, named, others } from "./names.ts";
import {
  type All,
  type Alternative,
  alternative,
  at_,
  FALSE,
  one,
  type Part,
  type Signed,
  sign,
  size,
  sizes,
  TRUE,
  type Type,
} from "./parts.ts";

/** What the keywords need to know of their document. */
export interface Context {
  readonly document: Document;
  /** The conditions of another schema on values of a type, or their negation. */
  readonly node: (node: Node, is: boolean, type: Type) => readonly Alternative[];
  /** The property names that a schema allows. */
  readonly namesOf: (all: All) => Dfa;
  readonly isEmpty: IsEmpty;
}

/**
 * The values of a list (`enum` or `const`), part by part: an object by its members, an array
 * by its items.
 */
export function constants(
  document: Document,
  list: readonly Json[],
  where: string,
  is: boolean,
  type: Type,
  isEmpty: IsEmpty,
): readonly Alternative[] {
  const of = list.filter((value) => typeOf(value) === type);
  if (of.length === 0) return is ? FALSE : TRUE;
  switch (type) {
    case "null":
      return is ? TRUE : FALSE;
    case "boolean": {
      const both = of.includes(true) && of.includes(false);
      if (both) return is ? TRUE : FALSE;
      return one({ kind: "boolean", value: (of[0] as boolean) === is });
    }
    case "number":
      return one({ kind: "number", part: { kind: "equal", values: of as readonly number[], is } });
    case "string":
      return one({ kind: "texts", values: of as readonly string[], is });
    default: {
      const each = of.map((value, i) => constant(document, value, `${where}/${i}`, is));
      return is ? or(each.flat()) : each.reduce((out, next) => and(out, next, isEmpty), TRUE);
    }
  }
}

function typeOf(value: Json): Type {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : (typeof value as "boolean" | "number" | "string" | "object");
}

/** An array or an object. */
function constant(document: Document, value: Json, where: string, is: boolean): readonly Alternative[] {
  const never: All = [sign(document.never, true)];
  const part = (inner: Json, key: string | number): Signed => sign(document.constant(inner, `${where}/${key}`), is);
  if (Array.isArray(value)) {
    const count = value.length;
    const items = value.map((inner: Json, i: number) => [part(inner, i)]);
    if (is) return [alternative(...size(count, count), { kind: "items", prefix: items, rest: [] })];
    const differs = items.map((all, i) => alternative(...size(i + 1, null), at_(i, all)));
    return [...sizes(count, count, false), ...differs];
  }
  const object = value as JsonObject;
  const names = Object.keys(object);
  const rest = others(names, []);
  const held = (name: string): Part => ({
    kind: "each",
    names: named(name),
    all: [part(own(object, name)!, name)],
  });
  if (is) {
    const members = names.flatMap((name): Part[] => [{ kind: "need", name }, held(name)]);
    return [alternative(...members, { kind: "each", names: rest, all: never })];
  }
  return [
    ...names.flatMap((name) => [
      alternative({ kind: "each", names: named(name), all: never }),
      alternative({ kind: "need", name }, held(name)),
    ]),
    alternative({ kind: "one", names: rest, all: [] }),
  ];
}

/** A keyword of arrays; null for keywords that do not apply to them. */
export function arrayKeyword(
  { document }: Context,
  node: Node,
  schema: JsonObject,
  keyword: string,
  value: Json,
  is: boolean,
): readonly Alternative[] | null {
  const child = (...path: (string | number)[]): Signed => sign(document.child(node, ...path), is);
  const prefix = own(schema, "prefixItems");
  const fixed = Array.isArray(prefix) ? prefix.length : 0;
  switch (keyword) {
    case "minItems":
      return sizes(value as number, null, is);
    case "maxItems":
      return sizes(0, value as number, is);
    case "uniqueItems":
      if (value === false) return null;
      // Negated, the keyword is ignored and arrays with equal items are not written: that allows
      // less, but is valid.
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
      const all = [sign(document.child(node, keyword), true)];
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

/** A keyword of objects; null for keywords that do not apply to them. */
export function objectKeyword(
  context: Context,
  node: Node,
  schema: JsonObject,
  keyword: string,
  value: Json,
  is: boolean,
): readonly Alternative[] | null {
  const { document, isEmpty } = context;
  const child = (...path: (string | number)[]): Signed => sign(document.child(node, ...path), is);
  /** The schemas of such a member; none where every value is allowed. */
  const held = (...path: (string | number)[]): All =>
    document.child(node, ...path).schema === is ? [] : [child(...path)];
  const never: All = [sign(document.never, true)];
  const absent = (name: string): Part => ({ kind: "each", names: named(name), all: never });
  const needs = (names: readonly string[]): readonly Alternative[] =>
    is
      ? [alternative(...names.map((name): Part => ({ kind: "need", name })))]
      : names.map((name) => alternative(absent(name)));
  /** "If there is such a property, then ...", or its negation. */
  const depends = (out: readonly Alternative[], name: string, then: readonly Alternative[]): readonly Alternative[] => {
    const present = and(one({ kind: "need", name }), then, isEmpty);
    return is ? and(out, [alternative(absent(name)), ...present], isEmpty) : [...out, ...present];
  };
  const nothing = is ? TRUE : FALSE;
  switch (keyword) {
    case "minProperties":
      return sizes(value as number, null, is);
    case "maxProperties":
      return sizes(0, value as number, is);
    case "required":
      return needs(value as readonly string[]);
    case "dependentRequired":
      return Object.entries(value as JsonObject).reduce<readonly Alternative[]>(
        (out, [name, wanted]) => depends(out, name, needs(wanted as readonly string[])),
        nothing,
      );
    case "dependentSchemas":
      return Object.keys(value as JsonObject).reduce<readonly Alternative[]>(
        (out, name) => depends(out, name, context.node(document.child(node, keyword, name), is, "object")),
        nothing,
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
        all: held(keyword, pattern),
      }));
      if (!is) return members.map(({ names, all }) => alternative({ kind: "one", names, all }));
      const parts = members.map(({ names, all }): Part => ({ kind: "each", names, all }));
      return [{ parts, names: members.map(({ names }) => names), items: 0 }];
    }
    case "additionalProperties": {
      const names = additional(node, schema);
      const all = held(keyword);
      if (!is) return one({ kind: "one", names, all });
      return [{ parts: [{ kind: "each", names, all }], names: [others([], [])], items: 0 }];
    }
    case "propertyNames": {
      const allowed = context.namesOf([sign(document.child(node, keyword), true)]);
      const names: Names = { atoms: [{ dfa: allowed, key: `${node.id} names` }], negated: true };
      return one(is ? { kind: "each", names, all: never } : { kind: "one", names, all: [] });
    }
    default:
      return null;
  }
}

function additional(node: Node, schema: JsonObject): Names {
  const properties = Object.keys((own(schema, "properties") ?? {}) as JsonObject);
  const patterns = Object.keys((own(schema, "patternProperties") ?? {}) as JsonObject);
  return others(
    properties,
    patterns.map((pattern) => patternAtom(node, "patternProperties", pattern)),
  );
}
