// GGUF files made by hand, faults and all.

import type { ValueKind } from "../../../src/weights/gguf/types.ts";
import { GGML_TYPES, VALUE_BYTES, VALUE_KINDS } from "../../../src/weights/gguf/types.ts";

/** Bytes of a file to be, little-endian. */
export class Bytes {
  #parts: Uint8Array[] = [];
  length = 0;

  raw(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    this.length += bytes.length;
    return this;
  }

  u32(value: number): this {
    return this.raw(new Uint8Array(Uint32Array.of(value).buffer));
  }

  u64(value: number | bigint): this {
    return this.raw(new Uint8Array(BigUint64Array.of(BigInt.asUintN(64, BigInt(value))).buffer));
  }

  text(value: string | Uint8Array): this {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    return this.u64(bytes.length).raw(bytes);
  }

  pad(alignment: number): this {
    return this.raw(new Uint8Array((alignment - (this.length % alignment)) % alignment));
  }

  done(): Uint8Array {
    const bytes = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.#parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }
}

type Scalar = number | bigint | boolean | string | Uint8Array;
/** A key's value: [kind, value], or ["array", element kind, values]. */
export type Given = readonly [ValueKind | number, Scalar] | readonly ["array", ValueKind | number, readonly Scalar[]];

const idOf = (kind: ValueKind | number): number => (typeof kind === "number" ? kind : VALUE_KINDS.indexOf(kind));

function scalar(bytes: Bytes, kind: ValueKind | number, value: Scalar): void {
  if (kind === "string") {
    bytes.text(value as string | Uint8Array);
    return;
  }
  const view = new DataView(new ArrayBuffer(8));
  const write: Readonly<Record<string, () => void>> = {
    u8: () => view.setUint8(0, Number(value)),
    i8: () => view.setInt8(0, Number(value)),
    bool: () => view.setUint8(0, Number(value)),
    u16: () => view.setUint16(0, Number(value), true),
    i16: () => view.setInt16(0, Number(value), true),
    u32: () => view.setUint32(0, Number(value), true),
    i32: () => view.setInt32(0, Number(value), true),
    f32: () => view.setFloat32(0, Number(value), true),
    u64: () => view.setBigUint64(0, BigInt(value as bigint), true),
    i64: () => view.setBigInt64(0, BigInt(value as bigint), true),
    f64: () => view.setFloat64(0, Number(value), true),
  };
  write[kind]?.();
  bytes.raw(new Uint8Array(view.buffer, 0, typeof kind === "number" ? 1 : VALUE_BYTES[kind]));
}

/** A key and its value. */
export function pair(bytes: Bytes, key: string | Uint8Array, given: Given): void {
  bytes.text(key).u32(idOf(given[0]));
  if (given[0] !== "array") {
    scalar(bytes, given[0], given[1] as Scalar);
    return;
  }
  const [, element, values] = given as readonly ["array", ValueKind, readonly Scalar[]];
  bytes.u32(idOf(element)).u64(values.length);
  for (const value of values) scalar(bytes, element, value);
}

/** A tensor: dims fastest first, a type's number; data of zeros unless given. */
export interface MadeTensor {
  readonly name: string;
  readonly type: number;
  readonly dims: readonly (number | bigint)[];
  readonly data?: Uint8Array;
  /** What the file says, if it is not the truth. */
  readonly offset?: number | bigint;
}

export interface MadeFile {
  readonly magic?: string;
  readonly version?: number;
  readonly keys?: readonly (readonly [string | Uint8Array, Given])[];
  readonly tensors?: readonly MadeTensor[];
  /** Counts that the header claims, if not the truth. */
  readonly counts?: { readonly tensors?: number | bigint; readonly keys?: number | bigint };
  /** Of the data; the key is among `keys` if at all. */
  readonly alignment?: number;
}

/** Bytes of a tensor of a known type; 0 for any other, and for an impossible size. */
export function dataBytes({ type, dims }: MadeTensor): number {
  const known = GGML_TYPES.get(type);
  const elements = dims.reduce<number>((product, size) => product * Number(size), 1);
  const bytes = known ? (elements / known.elements) * known.bytes : 0;
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : 0;
}

/** What stands before the data, with its padding; and the bytes of the whole file. */
export function ggufFront(made: MadeFile): { readonly front: Uint8Array; readonly bytes: number } {
  const { magic, version, keys = [], tensors = [], counts, alignment = 32 } = made;
  const front = new Bytes().raw(new TextEncoder().encode(magic ?? "GGUF")).u32(version ?? 3);
  front.u64(counts?.tensors ?? tensors.length).u64(counts?.keys ?? keys.length);
  for (const [key, given] of keys) pair(front, key, given);
  let offset = 0;
  for (const tensor of tensors) {
    front.text(tensor.name).u32(tensor.dims.length);
    for (const size of tensor.dims) front.u64(size);
    front.u32(tensor.type).u64(tensor.offset ?? offset);
    offset = Math.ceil((offset + (tensor.data?.length ?? dataBytes(tensor))) / alignment) * alignment;
  }
  front.pad(alignment);
  return { front: front.done(), bytes: front.length + offset };
}

/** The whole file. Tensors that no memory holds have no data in it. */
export function ggufFile(made: MadeFile = {}): Uint8Array {
  const { tensors = [], alignment = 32 } = made;
  const file = new Bytes().raw(ggufFront(made).front);
  for (const tensor of tensors) {
    const bytes = dataBytes(tensor);
    file.raw(tensor.data ?? new Uint8Array(bytes < 2 ** 26 ? bytes : 0)).pad(alignment);
  }
  return file.done();
}
