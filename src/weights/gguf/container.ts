// The front of a GGUF file: metadata, and which tensors it holds, of what type and shape, at which
// bytes.
//
//   bytes 0..23   "GGUF", u32 version (2 or 3), u64 number of tensors, u64 number of keys
//   then          the keys: string key, u32 kind, value
//   then          the tensors: string name, u32 dimensions, u64 sizes (fastest first), u32 type,
//                 u64 offset into the data
//   then          the data, from the next multiple of general.alignment; every tensor at one
//
// All little-endian; a string is a u64 length and its bytes. Accepts and rejects as llama.cpp does.
// Only the front is read, and every claim is checked before memory is taken for it.

import { WeightsError } from "../../errors.ts";
import { type Files, refusePlaceholder } from "../files.ts";
import { Cursor } from "./cursor.ts";
import { DEFAULT_ALIGNMENT, MAX_ALIGNMENT, MAX_DIMS, MAX_KEYS, MAX_TENSOR_NAME, MAX_TENSORS } from "./limits.ts";
import { Metadata, type Value } from "./metadata.ts";
import { GGML_TYPES, type GgmlType, RETIRED_TYPES } from "./types.ts";
import { readText, readValue } from "./values.ts";

const HEADER = 24;
/** "GGUF", read as a little-endian number. */
const MAGIC = 0x46554747;
/** What to do with a piece of a file. */
const JOIN = "it is a piece of a file: join all of them in order (cat x.gguf-split-* > x.gguf)";

/** One tensor of a file. */
export interface GgufTensor {
  readonly name: string;
  readonly type: GgmlType;
  /** Slowest first, as everywhere in hotset; the file has them the other way round. */
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file. */
  readonly begin: number;
  /** Byte after the last. */
  readonly end: number;
}

/** The front of one file. */
export interface GgufHeader {
  /** File name. */
  readonly file: string;
  /** Size of the whole file in bytes. */
  readonly bytes: number;
  readonly version: number;
  readonly metadata: Metadata;
  /** In the file's order. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/**
 * Reads and checks the front of file `name`.
 * @throws WeightsError naming the file, byte, key or tensor
 */
export async function readGgufHeader(files: Files, name: string): Promise<GgufHeader> {
  const where = `${files.label}: ${name}`;
  const size = await files.size(name);
  if (size === null) throw new WeightsError(`${where} is missing`);
  const cursor = new Cursor(files, name, size);
  const version = await readVersion(cursor);
  await cursor.need(16, "the header");
  const tensors = cursor.u64();
  const keys = cursor.u64();
  if (tensors > MAX_TENSORS) throw cursor.error(`${tensors} tensors are claimed; at most ${MAX_TENSORS} are read`);
  if (keys > MAX_KEYS) throw cursor.error(`${keys} keys are claimed; at most ${MAX_KEYS} are read`);
  const values = await readValues(cursor, keys);
  const metadata = new Metadata(where, values);
  const alignment = alignmentOf(metadata);
  const claims = await readClaims(cursor, tensors);
  return { file: name, bytes: size, version, metadata, tensors: place(claims, cursor, alignment) };
}

/** Whether a name is of a piece of a file, x.gguf-split-a, as were published in 2023. */
function isPiece(name: string): boolean {
  return /[-.](?:split|part)[-.]?[a-z\d]+$/.test(name);
}

/** Whether these are the first bytes of a GGUF file. */
export function startsGguf(start: Uint8Array): boolean {
  return start.length >= 4 && new DataView(start.buffer, start.byteOffset).getUint32(0, true) === MAGIC;
}

async function readVersion(cursor: Cursor): Promise<number> {
  const { size, where } = cursor;
  await cursor.need(Math.min(size, HEADER), "the header");
  if (size < 8 || cursor.u32() !== MAGIC) {
    const start = await cursor.start(512);
    refusePlaceholder(start, where);
    const found = [...start.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    throw new WeightsError(
      `${where}: expected "GGUF" (47 47 55 46) at byte 0, found ${found || "an empty file"}${isPiece(where) ? `; ${JOIN}` : ""}`,
    );
  }
  const version = cursor.u32();
  if (version !== 0 && version % 65536 === 0)
    throw new WeightsError(
      `${where} is big-endian (version ${version / 2 ** 24}); little-endian files are read: convert it with gguf-py's gguf_convert_endian`,
    );
  if (version === 2 || version === 3) return version;
  const remedy = version === 1 ? "it is of August 2023: convert the model again" : "is hotset up to date?";
  throw new WeightsError(`${where} is GGUF version ${version}; versions 2 and 3 are read; ${remedy}`);
}

async function readValues(cursor: Cursor, keys: number): Promise<Map<string, Value>> {
  const values = new Map<string, Value>();
  for (let i = 0; i < keys; i++) {
    const key = await readText(cursor, `key ${i}`);
    if (key === "") throw cursor.error(`key ${i} of ${keys} is empty`);
    if (values.has(key)) throw cursor.error(`key ${JSON.stringify(key)} is there twice`);
    values.set(key, await readValue(cursor, `the value of ${JSON.stringify(key.slice(0, 80))}`));
  }
  return values;
}

function alignmentOf(metadata: Metadata): number {
  const key = "general.alignment";
  const found = metadata.raw(key);
  if (found === undefined) return DEFAULT_ALIGNMENT;
  if (found.kind !== "u32" || typeof found.value !== "number")
    throw metadata.error(key, `expected a value of kind u32, found ${found.kind}`);
  const bits = Math.log2(found.value);
  if (Number.isInteger(bits) && found.value <= MAX_ALIGNMENT) return found.value;
  throw metadata.error(key, `expected a power of two up to ${MAX_ALIGNMENT}, found ${found.value}`);
}

/** A tensor as the file describes it: its sizes are checked, its offset is not. */
interface Claim {
  readonly name: string;
  readonly type: GgmlType;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** From the start of the data. */
  readonly offset: number;
}

async function readClaims(cursor: Cursor, count: number): Promise<Map<string, Claim>> {
  const claims = new Map<string, Claim>();
  for (let i = 0; i < count; i++) {
    const name = await readText(cursor, `the name of tensor ${i}`, MAX_TENSOR_NAME);
    const what = `tensor ${JSON.stringify(name)}`;
    if (name.includes("\0")) throw cursor.error(`${what}: a name has no NUL`);
    if (claims.has(name)) throw cursor.error(`${what} is there twice`);
    await cursor.need(4, what);
    const dims = cursor.u32();
    if (dims > MAX_DIMS) throw cursor.error(`${what} has ${dims} dimensions; at most ${MAX_DIMS} are read`);
    await cursor.need(8 * dims + 12, what);
    const shape = Array.from({ length: dims }, () => cursor.u64()).reverse();
    const type = typeOf(cursor, what, cursor.u32());
    const bytes = bytesOf(cursor, what, type, shape);
    claims.set(name, { name, type, shape, bytes, offset: cursor.u64() });
  }
  return claims;
}

function typeOf(cursor: Cursor, what: string, id: number): GgmlType {
  const type = GGML_TYPES.get(id);
  if (type) return type;
  const retired = RETIRED_TYPES.get(id);
  throw cursor.error(
    retired
      ? `${what} is of type ${id} (${retired}), which ggml gave up: re-quantize the model`
      : `${what} is of type ${id}, which is not known; is hotset up to date?`,
  );
}

/** Bytes of a tensor. */
function bytesOf(cursor: Cursor, what: string, type: GgmlType, shape: readonly number[]): number {
  const shown = `${type.name} [${shape.join(", ")}]`;
  // In order, so that a zero cannot hide a product that is too large.
  let bytes = type.bytes;
  for (const size of shape) if (size !== 0) bytes *= size;
  if (!(shape.every(Number.isSafeInteger) && bytes <= Number.MAX_SAFE_INTEGER))
    throw cursor.error(`${what}: ${shown} has 2^53 bytes or more`);
  const row = shape.at(-1) ?? 1;
  if (row % type.elements !== 0)
    throw cursor.error(`${what}: ${shown} has rows of ${row}, which are not whole blocks of ${type.elements}`);
  return shape.includes(0) ? 0 : bytes / type.elements;
}

/** Places tensors in the file: one after the other, each at a multiple of the alignment. */
function place(claims: ReadonlyMap<string, Claim>, cursor: Cursor, alignment: number): Map<string, GgufTensor> {
  const up = (at: number): number => Math.ceil(at / alignment) * alignment;
  const data = up(cursor.position);
  const tensors = new Map<string, GgufTensor>();
  let next = 0;
  for (const { name, type, shape, bytes, offset } of claims.values()) {
    const tensor = `${cursor.where}: tensor ${JSON.stringify(name)}`;
    if (offset !== next)
      throw new WeightsError(
        `${tensor} claims byte ${offset} of the data; the one before it ends at ${next} (a multiple of ${alignment})`,
      );
    const begin = data + offset;
    const end = begin + bytes;
    if (end > cursor.size)
      throw new WeightsError(
        `${tensor} takes bytes ${begin} to ${end}, and the file has ${cursor.size}: ${end - cursor.size} are missing; ${isPiece(cursor.where) ? JOIN : "download it again"}`,
      );
    tensors.set(name, { name, type, shape, begin, end });
    next = up(offset + bytes);
  }
  return tensors;
}
