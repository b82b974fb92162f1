// The key/value pairs of a GGUF file, with getters that check types.

import { WeightsError } from "../../errors.ts";
import type { ValueKind } from "./types.ts";

const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** An array of strings as the file holds it; decoded when it is needed. */
export class Texts {
  readonly length: number;
  readonly #bytes: Uint8Array;
  /** Byte after each string. */
  readonly #ends: Uint32Array;

  constructor(bytes: Uint8Array, ends: Uint32Array) {
    this.#bytes = bytes;
    this.#ends = ends;
    this.length = ends.length;
  }

  /** The bytes of string `i`. */
  bytes(i: number): Uint8Array {
    return this.#bytes.subarray(i === 0 ? 0 : this.#ends[i - 1]!, this.#ends[i]!);
  }

  /** Strings 0 .. count - 1. @throws TypeError with the index of one that is not UTF-8 */
  decode(count = this.length): string[] {
    const all = this.#bytes.subarray(0, count === 0 ? 0 : this.#ends[count - 1]!);
    const texts = new Array<string>(count);
    if (all.every((byte) => byte < 0x80)) {
      const joined = STRICT.decode(all);
      for (let i = 0; i < count; i++) texts[i] = joined.slice(i === 0 ? 0 : this.#ends[i - 1]!, this.#ends[i]!);
      return texts;
    }
    for (let i = 0; i < count; i++) {
      try {
        texts[i] = STRICT.decode(this.bytes(i));
      } catch {
        throw new TypeError(`entry ${i} is not valid UTF-8`);
      }
    }
    return texts;
  }
}

/** Numbers of an array; those of 64 bits as bigint. */
export type Numbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/**
 * A value: whole numbers beyond 2^53 are bigint, a string that is not UTF-8 is its bytes, an array
 * of bool is a byte an element.
 */
export type Value =
  | { readonly kind: Exclude<ValueKind, "array">; readonly value: number | bigint | boolean | string | Uint8Array }
  | { readonly kind: "array"; readonly element: ValueKind; readonly value: Texts | Numbers };

/** The metadata of one file. */
export class Metadata {
  /** Names the file in messages. */
  readonly where: string;
  readonly #values: ReadonlyMap<string, Value>;

  constructor(where: string, values: ReadonlyMap<string, Value>) {
    this.where = where;
    this.#values = values;
  }

  keys(): Iterable<string> {
    return this.#values.keys();
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  /** The value as the file has it, or undefined. */
  raw(key: string): Value | undefined {
    return this.#values.get(key);
  }

  /** @throws WeightsError if the key is missing (without `otherwise`) or not a string */
  text(key: string, otherwise?: string): string {
    const found = this.#find(key, otherwise);
    if (found === undefined) return otherwise!;
    if (typeof found.value === "string") return found.value;
    if (found.kind === "string") throw this.error(key, "expected text, found bytes that are not valid UTF-8");
    throw this.#unexpected(key, "a string", found);
  }

  /** A whole number of any integer type. @throws WeightsError as text(), or beyond 2^53 */
  integer(key: string, otherwise?: number): number {
    const found = this.#find(key, otherwise);
    if (found === undefined) return otherwise!;
    if (typeof found.value === "bigint")
      throw this.error(key, `expected a whole number below 2^53, found ${found.value}`);
    if (typeof found.value === "number" && /^[ui]/.test(found.kind)) return found.value;
    throw this.#unexpected(key, "a whole number", found);
  }

  /** A finite number of any type; 1e-5 as f32 is 1e-5 again. @throws WeightsError as text() */
  float(key: string, otherwise?: number): number {
    const found = this.#find(key, otherwise);
    if (found === undefined) return otherwise!;
    if (typeof found.value === "number" && Number.isFinite(found.value))
      return found.kind === "f32" ? shortest(found.value) : found.value;
    throw this.#unexpected(key, "a finite number", found);
  }

  /** @throws WeightsError as text() */
  flag(key: string, otherwise?: boolean): boolean {
    const found = this.#find(key, otherwise);
    if (found === undefined) return otherwise!;
    if (typeof found.value === "boolean") return found.value;
    throw this.#unexpected(key, "true or false", found);
  }

  /** An array of strings. @throws WeightsError if it is missing, of another type or not UTF-8 */
  texts(key: string): readonly string[] {
    const found = this.#find(key)!;
    if (!(found.value instanceof Texts)) throw this.#unexpected(key, "an array of strings", found);
    try {
      return found.value.decode();
    } catch (error) {
      throw this.error(key, (error as Error).message);
    }
  }

  /** An array of numbers (true is 1). @throws WeightsError as texts(), or beyond 2^53 */
  numbers(key: string): ArrayLike<number> {
    const found = this.#find(key)!;
    const { value } = found;
    if (found.kind !== "array" || value instanceof Texts) throw this.#unexpected(key, "an array of numbers", found);
    if (!(value instanceof BigInt64Array || value instanceof BigUint64Array)) return value as ArrayLike<number>;
    return Float64Array.from(value, (number) => {
      if (Number.isSafeInteger(Number(number))) return Number(number);
      throw this.error(key, `expected whole numbers below 2^53, found ${number}`);
    });
  }

  error(key: string, problem: string): WeightsError {
    return new WeightsError(`${this.where}: metadata ${key}: ${problem}`);
  }

  #find(key: string, otherwise?: unknown): Value | undefined {
    const found = this.#values.get(key);
    if (found === undefined && otherwise === undefined)
      throw new WeightsError(`${this.where}: metadata ${key} is missing`);
    return found;
  }

  #unexpected(key: string, expected: string, found: Value): WeightsError {
    return this.error(key, `expected ${expected}, found ${describe(found)}`);
  }
}

/** The shortest decimal number with this f32. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

function describe(found: Value): string {
  if (found.kind === "array") return `an array of ${found.value.length} ${found.element}`;
  if (found.value instanceof Uint8Array) return `${found.value.length} bytes`;
  return `${found.kind} ${typeof found.value === "string" ? JSON.stringify(found.value.slice(0, 80)) : found.value}`;
}
