// Activations as int8 with one scale a group of 32: x = scale * q, scale = max|x| / 127, q to the
// nearest integer.
//
// A row becomes `groups` groups: all integers, then the scales (f32), then what the format makes of
// the integers' sums (first() in lib/simd/planes.simd.ts). Integers are int16 pairs for weights of
// a byte (WIDE), else what lib/simd/dot.simd takes. Columns past D count as zeros.

import { storeEight } from "./lib/simd/dot.simd";
import { first, WIDE } from "./lib/simd/format.simd";
import { maxOf } from "./lib/simd/lanes.simd";
import { storePairs } from "./lib/simd/pairs.simd";
import { xGroup } from "./lib/simd/product_int8.simd";
import { scratchOf } from "./lib/simd/scratch.simd";

/** Bytes of one rounded row. */
export function quantizedBytes(groups: u32): u32 {
  return groups * (xGroup() + 8);
}

/** Rows [from, to) of x [T, D] at `x` to rounded rows at `y`. */
export function quantize(from: u32, to: u32, thread: u32, x: usize, D: u32, groups: u32, y: usize): void {
  const rowBytes: usize = quantizedBytes(groups);
  for (let t = from; t < to; t++) {
    let xp = x + <usize>t * D * 4;
    let integers = y + <usize>t * rowBytes;
    let scales = integers + groups * xGroup();
    let sums = scales + groups * 4;
    let left: i32 = D;
    for (let g: u32 = 0; g < groups; g++) {
      let values = xp;
      if (left < 32) {
        values = scratchOf(thread);
        memory.fill(values, 0, 128);
        if (left > 0) memory.copy(values, xp, left * 4);
      }
      group(values, integers, scales, sums);
      left -= 32;
      xp += 128;
      integers += xGroup();
      scales += 4;
      sums += 4;
    }
  }
}

// @ts-ignore: decorator
@inline function group(x: usize, integers: usize, scale: usize, sums: usize): void {
  let most = f32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) most = f32x4.max(most, f32x4.abs(v128.load(x + i)));
  const step = maxOf(most) / 127;
  const inverse = f32x4.splat(step > 0 ? 1 / step : 0);
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < 4; i++) {
    const low = nearest(f32x4.mul(v128.load(x + 32 * i), inverse));
    const high = nearest(f32x4.mul(v128.load(x + 32 * i, 16), inverse));
    sum = i32x4.add(sum, i32x4.add(low, high));
    if (WIDE) storePairs(integers + i * (xGroup() / 4), low, high);
    else storeEight(integers + i * (xGroup() / 4), low, high);
  }
  store<f32>(scale, step);
  const pairs = i32x4.add(sum, v128.shuffle<i32>(sum, sum, 2, 3, 2, 3));
  store<i32>(sums, first(i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1)));
}

/**
 * The nearest integers, ties to even, of values within 2^22: added to 1.5 * 2^23, they are the low
 * bits of the sum.
 */
// @ts-ignore: decorator
@inline function nearest(x: v128): v128 {
  return i32x4.sub(f32x4.add(x, f32x4.splat(<f32>12582912)), i32x4.splat(0x4b400000));
}
