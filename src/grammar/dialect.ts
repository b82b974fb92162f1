// The drafts of JSON Schema: which one a schema is written in, and its translation
// to draft 2020-12.

import { isObject, type Json, type JsonObject, own, refuse, shown } from "./keywords.ts";

export interface Dialect {
  /** The keyword that gives a schema its URI. */
  readonly id: "id" | "$id";
  /** Drafts up to 7 ignore keywords beside a $ref, and have anchors in $id. */
  readonly old: boolean;
  /** The value of `$schema` if hotset does not know it. */
  readonly unknown: string | null;
}

const DRAFT_4 = /^https?:\/\/json-schema\.org\/draft-04\/(hyper-)?schema[#/]*$/;
const ANCIENT = /^https?:\/\/json-schema\.org\/draft-0[123]\/(hyper-)?schema[#/]*$/;
const OLD = /^https?:\/\/json-schema\.org\/draft-0[4-7]\/(hyper-)?schema[#/]*$/;
const KNOWN = /^https?:\/\/json-schema\.org\/(draft\/(2020-12|2019-09)|draft-0[4-7])\/(hyper-)?schema[#/]*$/;

/**
 * The dialect that `$schema` names. Unknown ones are read as draft 2020-12.
 * @throws RequestError for draft 3 and earlier, whose keywords are different
 */
export function dialectOf(schema: boolean | JsonObject): Dialect {
  const named = typeof schema === "boolean" ? undefined : own(schema, "$schema");
  if (typeof named === "string" && ANCIENT.test(named))
    throw refuse("#", "$schema", `names a draft before 4, which is not supported: ${shown(named)}`);
  const name = typeof named === "string" ? named : "";
  return {
    id: DRAFT_4.test(name) ? "id" : "$id",
    old: OLD.test(name),
    unknown: named === undefined || KNOWN.test(name) ? null : name,
  };
}

/**
 * The schema translated to draft 2020-12.
 * @throws RequestError for a wrong value of an old keyword
 */
export function modern(schema: JsonObject, where: string): JsonObject {
  const out: Record<string, Json> = Object.assign(Object.create(null), schema);
  const items = own(schema, "items");
  if (Array.isArray(items)) {
    delete out.items;
    out.prefixItems = items;
    const rest = own(schema, "additionalItems");
    if (rest !== undefined) out.items = rest;
  }
  delete out.additionalItems; // it means nothing without a list of items
  for (const [flag, limit] of [
    ["exclusiveMinimum", "minimum"],
    ["exclusiveMaximum", "maximum"],
  ] as const) {
    // In draft 4 and OpenAPI 3.0 these are flags: whether the limit itself is excluded.
    const value = own(schema, flag);
    if (typeof value !== "boolean") continue;
    delete out[flag];
    const bound = own(schema, limit);
    if (!value || bound === undefined) continue;
    delete out[limit];
    out[flag] = bound;
  }
  const dependencies = own(schema, "dependencies");
  if (dependencies !== undefined) {
    if (!isObject(dependencies)) throw refuse(where, "dependencies", "expects an object");
    delete out.dependencies;
    const entries = Object.entries(dependencies).map(
      ([name, one]) => [name, typeof one === "string" ? [one] : one] as const,
    );
    const kept = (key: string): readonly [string, Json][] => Object.entries((own(schema, key) as JsonObject) ?? {});
    out.dependentRequired = byName([...kept("dependentRequired"), ...entries.filter(([, v]) => Array.isArray(v))]);
    out.dependentSchemas = byName([...kept("dependentSchemas"), ...entries.filter(([, v]) => !Array.isArray(v))]);
  }
  return out;
}

function byName(entries: readonly (readonly [string, Json])[]): JsonObject {
  const out = Object.create(null) as Record<string, Json>;
  for (const [name, value] of entries) out[name] = value;
  return out;
}
