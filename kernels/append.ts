// Writes a token's keys and values to its position in its sequence's blocks.

import { toFiniteHalf } from "../src/tensor/half.ts";
import { q8RowBytes } from "../src/tensor/q8_row.ts";
import { packQ8 } from "./append_q8.ts";
import type { Scratch } from "./scratch.ts";

/**
 * One block of keys or values of one layer: [blockSize, Hkv, Dh], f32, the bits of f16, or rows of
 * q8 (append_q8.ts).
 */
export type KvPlane = Float32Array | Uint16Array | Uint8Array;

/** What q8 knows of its rows. */
export interface Q8Rows {
  readonly headDim: number; // Dh
  readonly rotated: boolean;
  readonly scratch: Scratch;
}

/** `width` = Hkv Dh values of x at `at` become position `index` of a plane. */
export function append(
  x: Float32Array,
  at: number,
  plane: KvPlane,
  index: number,
  width: number,
  { headDim, rotated, scratch }: Q8Rows,
): void {
  if (plane instanceof Float32Array) plane.set(x.subarray(at, at + width), index * width);
  else if (plane instanceof Uint8Array) {
    const values = scratch.doubles("q8", headDim);
    for (let head = 0; head < width / headDim; head++) {
      const to = ((index * width) / headDim + head) * q8RowBytes(headDim);
      packQ8(x, at + head * headDim, headDim, rotated, plane, to, values);
    }
  } else for (let i = 0; i < width; i++) plane[index * width + i] = toFiniteHalf(x[at + i]!);
}
