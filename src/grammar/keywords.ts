// The keywords of JSON Schema: which kind of value each takes, and the errors for other values.

import { RequestError } from "../errors.ts";
import { Invalid, Unsupported } from "./unsupported.ts";

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** Keywords by their values: one schema, a list of schemas, schemas by name. */
export const ONE: readonly string[] = [
  ..."additionalProperties propertyNames unevaluatedProperties additionalItems unevaluatedItems contains".split(" "),
  ..."not if then else items".split(" "),
];
export const LIST: readonly string[] = ["allOf", "anyOf", "oneOf", "prefixItems"];
export const NAMED: readonly string[] = ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"];
/** Enforced keywords with other values. */
const OTHER: readonly string[] = [
  ..."type enum const multipleOf maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern".split(
    " ",
  ),
  ..."maxItems minItems uniqueItems maxContains minContains maxProperties minProperties required".split(" "),
  ..."dependentRequired dependencies $ref $dynamicRef $recursiveRef $id $anchor $dynamicAnchor".split(" "),
  ..."$recursiveAnchor $schema format".split(" "),
];
/** Annotations of the standard and of OpenAPI: they constrain nothing. */
const ANNOTATIONS: readonly string[] = [
  ..."title description default examples example deprecated readOnly writeOnly $comment $vocabulary id".split(" "),
  ..."contentEncoding contentMediaType contentSchema discriminator externalDocs xml".split(" "),
];
const KNOWN = new Set([...ONE, ...LIST, ...NAMED, ...OTHER, ...ANNOTATIONS]);

const NUMBERS = new Set(["multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"]);
const COUNTS = new Set(
  "maxLength minLength maxItems minItems maxContains minContains maxProperties minProperties".split(" "),
);
const TEXTS = new Set([
  ..."pattern format $ref $dynamicRef $recursiveRef $id $anchor $dynamicAnchor $schema".split(" "),
]);
const FLAGS = new Set(["uniqueItems", "$recursiveAnchor"]);
const TYPES = new Set(["null", "boolean", "number", "integer", "string", "array", "object"]);

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The own value of a key: `__proto__` and `toString` are keys like any other. */
export function own(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/**
 * By the standard an unknown keyword is an annotation. Those with an extension's prefix are meant
 * as such: no warning.
 */
export function isUnknown(keyword: string): boolean {
  return !KNOWN.has(keyword) && !/^(x-|\/\/)/.test(keyword);
}

/** The error for a keyword at a place in the schema. */
export function refuse(where: string, keyword: string, why = "is not supported"): RequestError {
  return new RequestError(`json_schema: keyword \`${keyword}\` at ${where} ${why}`);
}

/** A value for a message, cut short. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

/** Adds the place and keyword to what `compile` throws. */
export function at<T>(where: string, keyword: string, compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    if (error instanceof Invalid) throw refuse(where, keyword, error.message);
    if (error instanceof Unsupported) throw refuse(where, keyword, `needs ${error.message}, which is not supported`);
    throw error;
  }
}

/** @throws RequestError for a keyword whose value is of the wrong kind */
export function checkValue(schema: JsonObject, key: string, where: string): void {
  const value = own(schema, key)!;
  const expect = (ok: boolean, what: string): void => {
    if (!ok) throw refuse(where, key, `holds ${shown(value)}, expected ${what}`);
  };
  if (NUMBERS.has(key)) {
    expect(typeof value === "number" && Number.isFinite(value), "a number");
    if (key === "multipleOf") expect((value as number) > 0, "a number above 0");
  } else if (COUNTS.has(key)) expect(Number.isSafeInteger(value) && (value as number) >= 0, "a whole number from 0");
  else if (TEXTS.has(key)) expect(typeof value === "string", "a text");
  else if (FLAGS.has(key)) expect(typeof value === "boolean", "true or false");
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
  } else if (LIST.includes(key)) expect(Array.isArray(value), "a list of schemas");
  else if (NAMED.includes(key)) expect(isObject(value), "schemas by name");
}

function isTexts(value: Json): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}
