// Writes a token's keys and values to its position in its sequence's blocks.

import { toFiniteHalf } from "../src/tensor/half.ts";

/** One block of keys or values of one layer: [blockSize, Hkv, Dh], f32 or the bits of f16. */
export type KvPlane = Float32Array | Uint16Array;

/** `width` = Hkv Dh values of x at `at` become position `index` of a plane. */
export function append(x: Float32Array, at: number, plane: KvPlane, index: number, width: number): void {
  if (plane instanceof Float32Array) plane.set(x.subarray(at, at + width), index * width);
  else for (let i = 0; i < width; i++) plane[index * width + i] = toFiniteHalf(x[at + i]!);
}
