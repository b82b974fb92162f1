// Reads the values of a GGUF file's metadata.

import type { Cursor } from "./cursor.ts";
import { type Numbers, Texts, type Value } from "./metadata.ts";
import { VALUE_BYTES, VALUE_KINDS, type ValueKind } from "./types.ts";

const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const LENIENT = new TextDecoder("utf-8", { ignoreBOM: true });

const ARRAYS = {
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f32: Float32Array,
  bool: Uint8Array,
  u64: BigUint64Array,
  i64: BigInt64Array,
  f64: Float64Array,
} as const satisfies Record<Exclude<ValueKind, "string" | "array">, unknown>;

/** A name or key of at most `limit` bytes. @throws WeightsError if it is longer */
export async function readText(cursor: Cursor, what: string, limit = Number.POSITIVE_INFINITY): Promise<string> {
  const bytes = await readString(cursor, what, limit);
  return LENIENT.decode(bytes);
}

async function readString(cursor: Cursor, what: string, limit: number): Promise<Uint8Array> {
  await cursor.need(8, what);
  const length = cursor.u64();
  if (length > limit) throw cursor.error(`${what} has ${length} bytes; at most ${limit} are read`);
  await cursor.need(length, what);
  return cursor.take(length);
}

/** A kind and a value. @throws WeightsError for an unknown kind or a value beyond the file's end */
export async function readValue(cursor: Cursor, what: string): Promise<Value> {
  await cursor.need(4, what);
  const kind = kindOf(cursor, what);
  if (kind === "array") return readArray(cursor, what);
  if (kind === "string") {
    const bytes = await readString(cursor, what, Number.POSITIVE_INFINITY);
    try {
      return { kind, value: STRICT.decode(bytes) };
    } catch {
      return { kind, value: bytes.slice() };
    }
  }
  const size = VALUE_BYTES[kind];
  await cursor.need(size, what);
  const number = numbersOf(kind, cursor.take(size))[0]!;
  if (kind === "bool") return { kind, value: number !== 0 };
  return { kind, value: Number.isSafeInteger(Number(number)) ? Number(number) : number };
}

function kindOf(cursor: Cursor, what: string): ValueKind {
  const id = cursor.u32();
  const kind = VALUE_KINDS[id];
  if (kind === undefined)
    throw cursor.error(`${what} is of kind ${id}; kinds 0 to ${VALUE_KINDS.length - 1} are known`);
  return kind;
}

async function readArray(cursor: Cursor, what: string): Promise<Value> {
  await cursor.need(12, what);
  const element = kindOf(cursor, what);
  const count = cursor.u64();
  if (element === "array") throw cursor.error(`${what} is an array of arrays, which is not read`);
  cursor.check(count * VALUE_BYTES[element], `${what}, an array of ${count},`);
  if (element === "string") return { kind: "array", element, value: await readTexts(cursor, what, count) };
  const bytes = count * VALUE_BYTES[element];
  await cursor.need(bytes, what);
  return { kind: "array", element, value: numbersOf(element, cursor.take(bytes)) };
}

function numbersOf(kind: keyof typeof ARRAYS, bytes: Uint8Array): Numbers {
  // A copy: aligned, and free of the cursor's piece.
  return new ARRAYS[kind](bytes.slice().buffer);
}

async function readTexts(cursor: Cursor, what: string, count: number): Promise<Texts> {
  const ends = new Uint32Array(count);
  let bytes = new Uint8Array(Math.min(8 * count, 2 ** 16));
  let end = 0;
  for (let i = 0; i < count; i++) {
    if (cursor.ready < 8) await cursor.need(8, what);
    const length = cursor.u64();
    if (cursor.ready < length) await cursor.need(length, `entry ${i} of ${what}`);
    if (end + length > bytes.length) {
      const larger = new Uint8Array(2 * (end + length));
      larger.set(bytes);
      bytes = larger;
    }
    bytes.set(cursor.take(length), end);
    end += length;
    ends[i] = end;
  }
  return new Texts(bytes.slice(0, end), ends);
}
