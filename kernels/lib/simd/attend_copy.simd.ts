// Copies of rows of keys and values as f32, as attention over prompts multiplies them
// (attend_block.simd.ts).

import { half as halfToFloat, halves } from "./lanes.simd";

/** One position's key or value as f32, at `into`. */
export function copyRow(row: usize, headDim: u32, half: u32, into: usize): usize {
  const vectors = (<usize>headDim & ~3) * 4;
  const end = <usize>headDim * 4;
  let d: usize = 0;
  if (half) {
    for (; d < vectors; d += 16) v128.store(into + d, halves(row + d / 2));
    for (; d < end; d += 4) store<f32>(into + d, halfToFloat(load<u16>(row + d / 2)));
  } else {
    for (; d < vectors; d += 16) v128.store(into + d, v128.load(row + d));
    for (; d < end; d += 4) store<f32>(into + d, load<f32>(row + d));
  }
  return into;
}

/** Four numbers of a row, d of whose bytes as f32 are before them. `half` is a constant. */
// @ts-ignore: decorator
@inline function four(row: usize, d: usize, half: bool): v128 {
  return half ? halves(row + d / 2) : v128.load(row + d);
}

/**
 * Four rows of keys, of `bytes` bytes as f32, to `into`: [dimension, 8 positions], of which they
 * are the first or the second four. `half` is a constant.
 */
// @ts-ignore: decorator
@inline function turn(r0: usize, r1: usize, r2: usize, r3: usize, bytes: usize, into: usize, half: bool): void {
  for (let d: usize = 0; d < bytes; d += 16) {
    const a = four(r0, d, half);
    const b = four(r1, d, half);
    const c = four(r2, d, half);
    const e = four(r3, d, half);
    const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
    const ce = v128.shuffle<i32>(c, e, 0, 4, 1, 5);
    const ab2 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
    const ce2 = v128.shuffle<i32>(c, e, 2, 6, 3, 7);
    v128.store(into, v128.shuffle<i32>(ab, ce, 0, 1, 4, 5));
    v128.store(into, v128.shuffle<i32>(ab, ce, 2, 3, 6, 7), 32);
    v128.store(into, v128.shuffle<i32>(ab2, ce2, 0, 1, 4, 5), 64);
    v128.store(into, v128.shuffle<i32>(ab2, ce2, 2, 3, 6, 7), 96);
    into += 128;
  }
}

export function turnFloats(r0: usize, r1: usize, r2: usize, r3: usize, bytes: usize, into: usize): void {
  turn(r0, r1, r2, r3, bytes, into, false);
}

export function turnHalves(r0: usize, r1: usize, r2: usize, r3: usize, bytes: usize, into: usize): void {
  turn(r0, r1, r2, r3, bytes, into, true);
}

/**
 * A row of values, of `bytes` bytes as f32, in eights of dimensions that lie `stride` bytes apart.
 */
export function placeFloats(row: usize, bytes: usize, into: usize, stride: usize): void {
  for (let d: usize = 0; d < bytes; d += 32) {
    v128.store(into, v128.load(row + d));
    v128.store(into, v128.load(row + d, 16), 16);
    into += stride;
  }
}

export function placeHalves(row: usize, bytes: usize, into: usize, stride: usize): void {
  for (let d: usize = 0; d < bytes; d += 32) {
    v128.store(into, halves(row + d / 2));
    v128.store(into, halves(row + d / 2 + 8), 16);
    into += stride;
  }
}
