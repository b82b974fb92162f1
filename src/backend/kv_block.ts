// The layout of a KV block and of rows of q, k and v, and the checks that all KV stores share.

import { RequestError } from "../errors.ts";
import { q8RowBytes } from "../tensor/q8_row.ts";
import type { Attention, KvGeometry, KvPrecision, KvStore } from "./ops.ts";

/** The bytes of one block as KvStore.readBlock() gives it. */
export function contentBytes(geometry: KvGeometry, precision: KvPrecision, blockSize: number): number {
  const { layers, kvHeads, headDim } = geometry;
  return planesOf(geometry) * layers * blockSize * kvHeads * headBytes(headDim, precision);
}

/** Numbers of the largest head that q8 takes (kernels/append_q8.simd.ts). */
const Q8_HEAD = 2048;

/** @throws RequestError for heads that the precision does not take */
export function checkHead({ headDim }: KvGeometry, precision: KvPrecision): void {
  if (precision === "q8" && headDim > Q8_HEAD)
    throw new RequestError(`kv q8: expected heads of at most ${Q8_HEAD} numbers, found ${headDim}; use kv f16`);
}

/** Bytes of one head's key or value. */
export function headBytes(headDim: number, precision: KvPrecision): number {
  return precision === "q8" ? q8RowBytes(headDim) : headDim * (precision === "f32" ? 4 : 2);
}

/** Numbers that a head takes in a store on WebGPU: kernels/lib/attention/paged.wgsl says why. */
export function paddedHead(headDim: number): number {
  return Math.ceil(headDim / 8) * 8;
}

/** Planes of a layer: its keys, and its values unless they are a part of them. */
export function planesOf({ keysOnly = false }: KvGeometry): 1 | 2 {
  return keysOnly ? 1 : 2;
}

/** The numbers of the layers that keep every block, and of those that have panes. */
export function layersOf({ layers, windows }: KvGeometry): { readonly full: number[]; readonly windowed: number[] } {
  const all = Array.from({ length: layers }, (_, i) => i);
  const has = (layer: number): boolean => windows?.layers[layer] ?? false;
  return { full: all.filter((layer) => !has(layer)), windowed: all.filter(has) };
}

/** What lies in a row of q, k and v, and how many values attention gives a head. */
export function rowOf({ heads, kvHeads, headDim, latent }: Omit<Attention, "qkNorm" | "sinks">) {
  const kv = kvHeads * headDim; // floats of keys, and of values that are not a part of them
  return { q: heads * headDim, kv, width: heads * headDim + (latent ? 1 : 2) * kv, valueDim: latent ?? headDim };
}

/**
 * @throws RequestError unless the block exists, and the bytes for it, where there are any, are as
 * many as it takes
 */
export function checkBlock(store: KvStore, id: number, content: number, bytes?: Uint8Array): void {
  if (!(Number.isInteger(id) && id >= 0 && id < store.blocks))
    throw new RequestError(`KV cache: block ${id} does not exist; ${store.blocks} are reserved`);
  if (bytes && bytes.length !== content)
    throw new RequestError(`KV cache: a block has ${content} bytes, found ${bytes.length}`);
}
