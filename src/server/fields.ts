// Checked reading of a request's fields. Each reader returns the value, or undefined where the
// field is absent or null, and rejects wrong values with an error that names the field. Fields that
// are never read are accepted.

import { RequestError } from "../errors.ts";

export type Json = Readonly<Record<string, unknown>>;

/** Reads the fields of one object; `at` is its path: "" or "messages[0]". */
export interface Fields {
  readonly json: Json;
  /** The full name of a field: "messages[0].role". */
  path(name: string): string;
  has(name: string): boolean;
  raw(name: string): unknown;
  string(name: string, maxLength?: number): string | undefined;
  boolean(name: string): boolean | undefined;
  number(name: string, min: number, max: number): number | undefined;
  integer(name: string, min: number, max: number): number | undefined;
  oneOf<const T extends string>(name: string, values: readonly T[]): T | undefined;
  object(name: string): Fields | undefined;
  array(name: string, maxLength: number): readonly unknown[] | undefined;
  /** The elements of an array of objects. */
  objects(name: string, maxLength: number): readonly Fields[] | undefined;
}

/** `value`. @throws RequestError that says that the field is required, where it is undefined */
export function required<T>(value: T | undefined, fields: Fields, name: string): T {
  if (value === undefined) throw wrong(fields.path(name), "is required", undefined);
  return value;
}

/** The error for a wrong field. `expected` continues its name: "expected a text". */
export function wrong(path: string, expected: string, found: unknown): RequestError {
  const tail = found === undefined ? "" : `, found ${describe(found)}`;
  return new RequestError(`${path}: ${expected}${tail}`, { param: path });
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value);
}

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function fieldsOf(json: Json, at = ""): Fields {
  const path = (name: string): string => (at === "" ? name : `${at}.${name}`);
  const raw = (name: string): unknown => (Object.hasOwn(json, name) ? (json[name] ?? undefined) : undefined);

  function read<T>(name: string, expected: string, is: (value: unknown) => value is T): T | undefined {
    const value = raw(name);
    if (value === undefined || is(value)) return value as T | undefined;
    throw wrong(path(name), `expected ${expected}`, value);
  }
  const isNumber = (value: unknown): value is number => typeof value === "number";
  const array = (name: string, maxLength: number): readonly unknown[] | undefined =>
    read(
      name,
      `an array of at most ${maxLength}`,
      (value): value is unknown[] => Array.isArray(value) && value.length <= maxLength,
    );
  return {
    json,
    path,
    raw,
    has: (name) => raw(name) !== undefined,
    string: (name, maxLength = Number.POSITIVE_INFINITY) =>
      read(
        name,
        maxLength === Number.POSITIVE_INFINITY ? "a text" : `a text of at most ${maxLength} characters`,
        (value): value is string => typeof value === "string" && value.length <= maxLength,
      ),
    boolean: (name) => read(name, "true or false", (value): value is boolean => typeof value === "boolean"),
    number: (name, min, max) =>
      read(
        name,
        `a number from ${min} to ${max}`,
        (value): value is number => isNumber(value) && value >= min && value <= max,
      ),
    integer: (name, min, max) =>
      read(
        name,
        `an integer from ${min} to ${max}`,
        (value): value is number => isNumber(value) && Number.isSafeInteger(value) && value >= min && value <= max,
      ),
    oneOf: <const T extends string>(name: string, values: readonly T[]) =>
      read(
        name,
        `one of ${values.map((value) => JSON.stringify(value)).join(", ")}`,
        (value): value is T => typeof value === "string" && (values as readonly string[]).includes(value),
      ),
    object(name) {
      const value = read(name, "an object", isObject);
      return value && fieldsOf(value, path(name));
    },
    array,
    objects: (name, maxLength) =>
      array(name, maxLength)?.map((value, i) => {
        if (isObject(value)) return fieldsOf(value, `${path(name)}[${i}]`);
        throw wrong(`${path(name)}[${i}]`, "expected an object", value);
      }),
  };
}
