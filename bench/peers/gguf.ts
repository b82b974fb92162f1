// Writes GGUF version 3, the file format of llama.cpp: metadata, a table of tensors,
// and their data.
//
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

import { open } from "node:fs/promises";
import { Q4_0_BYTES } from "./q4_0.ts";

/** ggml's type number, weights of a block, bytes of a block. */
export const TENSOR_TYPES = {
  f32: { id: 0, block: 1, bytes: 4 },
  q4_0: { id: 2, block: 32, bytes: Q4_0_BYTES },
  q8_0: { id: 8, block: 32, bytes: 34 },
  q4_k: { id: 12, block: 256, bytes: 144 },
  q5_k: { id: 13, block: 256, bytes: 176 },
  q6_k: { id: 14, block: 256, bytes: 210 },
} as const;

const ALIGNMENT = 32;

export type GgufValue =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly text: string }
  | { readonly texts: readonly string[] }
  | { readonly f32s: readonly number[] }
  | { readonly i32s: readonly number[] };

export interface GgufTensor {
  readonly name: string;
  readonly type: keyof typeof TENSOR_TYPES;
  /** Fastest dimension first: a matrix [rows, cols] is [cols, rows]. */
  readonly dims: readonly number[];
  /**
   * The data in pieces of any size. A piece is still being written while the next is made, so no
   * buffer is reused.
   */
  data(): AsyncIterable<Uint8Array>;
}

export interface Gguf {
  readonly metadata: Readonly<Record<string, GgufValue>>;
  readonly tensors: readonly GgufTensor[];
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const f32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
};
const text = (value: string): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

/** A value after its type number. */
function encode(value: GgufValue): Buffer {
  const array = (type: number, items: readonly Buffer[]): Buffer =>
    Buffer.concat([u32(9), u32(type), u64(items.length), ...items]);
  if ("u32" in value) return Buffer.concat([u32(4), u32(value.u32)]);
  if ("f32" in value) return Buffer.concat([u32(6), f32(value.f32)]);
  if ("bool" in value) return Buffer.concat([u32(7), Buffer.of(Number(value.bool))]);
  if ("text" in value) return Buffer.concat([u32(8), text(value.text)]);
  if ("texts" in value) return array(8, value.texts.map(text));
  if ("f32s" in value) return array(6, value.f32s.map(f32));
  return array(5, value.i32s.map(u32));
}

const align = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

function tensorBytes({ type, dims }: GgufTensor): number {
  const { block, bytes } = TENSOR_TYPES[type];
  return (dims.reduce((a, b) => a * b, 1) / block) * bytes;
}

/** Everything before the tensor data, padded to its start. */
function header({ metadata, tensors }: Gguf): Buffer {
  const entries = Object.entries(metadata).map(([key, value]) => Buffer.concat([text(key), encode(value)]));
  let offset = 0;
  const table = tensors.map((tensor) => {
    const { name, dims, type } = tensor;
    const row = [text(name), u32(dims.length), ...dims.map(u64), u32(TENSOR_TYPES[type].id), u64(offset)];
    offset += align(tensorBytes(tensor));
    return Buffer.concat(row);
  });
  const head = Buffer.concat([
    Buffer.from("GGUF"),
    u32(3),
    u64(tensors.length),
    u64(entries.length),
    ...entries,
    ...table,
  ]);
  return Buffer.concat([head, Buffer.alloc(align(head.length) - head.length)]);
}

/**
 * Writes a file, a piece at a time.
 * @param onProgress called with the bytes of tensor data written and their number in all
 */
export async function writeGguf(
  path: string,
  gguf: Gguf,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<void> {
  const total = gguf.tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
  let done = 0;
  const file = await open(path, "w");
  try {
    await file.writeFile(header(gguf));
    for (const tensor of gguf.tensors) {
      let written = 0;
      let writing: Promise<unknown> = Promise.resolve();
      for await (const piece of tensor.data()) {
        await writing; // the next piece was made meanwhile
        writing = file.writeFile(piece); // appends at the handle's position
        writing.catch(() => {}); // thrown where it is awaited
        written += piece.length;
        onProgress(done + written, total);
      }
      await writing;
      const expected = tensorBytes(tensor);
      if (written !== expected)
        throw new Error(`${path}: ${tensor.name}: its shape and type need ${expected} bytes, found ${written}`);
      await file.writeFile(new Uint8Array(align(written) - written));
      done += written;
    }
  } finally {
    await file.close();
  }
}
