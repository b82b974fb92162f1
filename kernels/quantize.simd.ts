// Activations as int8 with one scale a group of 32, or of 256 columns where the format's integer
// scales cover as many (SUPER): x = scale * q, scale = max|x| / 127, q to the nearest integer.
//
// A row becomes `groups` groups: all integers, then the tail of each
// (lib/simd/product_int8.simd.ts). Integers are int16 pairs for levels of a byte, else what
// lib/simd/dot.simd takes. Columns past D count as zeros.

import { start, storeEight } from "./lib/simd/dot.simd";
import { BITS, CENTER, OFFSETS, SIXTEENS, SUPER } from "./lib/simd/format.simd";
import { storePairs } from "./lib/simd/pairs.simd";
import { starts, tailBytes, xGroup } from "./lib/simd/product_int8.simd";
import { scratchOf } from "./lib/simd/scratch.simd";

/** Bytes of one rounded row. */
export function quantizedBytes(groups: u32): u32 {
  return groups * (xGroup() + tailBytes());
}

/** Rows [from, to) of x [T, D] at `x` to rounded rows at `y`. */
export function quantize(from: u32, to: u32, thread: u32, x: usize, D: u32, groups: u32, y: usize): void {
  const rowBytes: usize = quantizedBytes(groups);
  for (let t = from; t < to; t++) {
    let xp = x + <usize>t * D * 4;
    let integers = y + <usize>t * rowBytes;
    let tail = integers + groups * xGroup();
    let left: i32 = D;
    let step: f32 = 0;
    let sum: i32 = 0; // of the group before
    for (let g: u32 = 0; g < groups; g++) {
      if (SUPER && (g & 7) == 0) step = stepOf(xp, max(0, min(256, left)));
      let values = xp;
      if (left < 32) {
        values = scratchOf(thread);
        memory.fill(values, 0, 128);
        if (left > 0) memory.copy(values, xp, left * 4);
      }
      if (!SUPER) step = stepOf(values, 32);
      sum = group(values, integers, tail, step, sum);
      left -= 32;
      xp += 128;
      integers += xGroup();
      tail += tailBytes();
    }
  }
}

/**
 * The scale of `count` values at x. Magnitudes are compared as integers, in one instruction, of
 * which NaN is the largest.
 */
// @ts-ignore: decorator
@inline function stepOf(x: usize, count: i32): f32 {
  let most = i32x4.splat(0);
  const whole = x + 4 * (count & ~3);
  for (; x < whole; x += 16) most = i32x4.max_u(most, f32x4.abs(v128.load(x)));
  for (const end = whole + 4 * (count & 3); x < end; x += 4) most = i32x4.max_u(most, f32x4.abs(v128.load32_splat(x)));
  most = i32x4.max_u(most, v128.shuffle<i32>(most, most, 2, 3, 0, 1));
  most = i32x4.max_u(most, v128.shuffle<i32>(most, most, 1, 0, 3, 2));
  return f32x4.extract_lane(most, 0) / 127;
}

/** Returns the sum of the integers; `before`: that of the group before. */
// @ts-ignore: decorator
@inline function group(x: usize, integers: usize, tail: usize, step: f32, before: i32): i32 {
  const inverse = f32x4.splat(step > 0 ? 1 / step : 0);
  store<f32>(tail, step);
  const first = sixteen(x, integers, inverse);
  const second = sixteen(x + 64, integers + xGroup() / 2, inverse);
  const low = i32x4.extract_lane(first, 0) + i32x4.extract_lane(first, 1);
  const high = i32x4.extract_lane(first, 2) + i32x4.extract_lane(first, 3);
  const low2 = i32x4.extract_lane(second, 0) + i32x4.extract_lane(second, 1);
  const high2 = i32x4.extract_lane(second, 2) + i32x4.extract_lane(second, 3);
  const sum = low + high + low2 + high2;
  if (CENTER != 0) {
    if (SIXTEENS) {
      store<i32>(tail + 4, begin(low, high));
      store<i32>(tail + 8, begin(low2, high2));
    } else store<i32>(tail + 4, begin(low + low2, high + high2));
  }
  if (OFFSETS) {
    const to = tail + 4 + 4 * starts();
    if (SIXTEENS) store<i32>(to, ((low + high) & 0xffff) | ((low2 + high2) << 16));
    else if (!SUPER) store<f32>(to, <f32>sum);
    else {
      store<i32>(to, (before & 0xffff) | (sum << 16));
      store<i32>(to + 4, sum << 16);
      if (CENTER != 0) store<i32>(to + 8, CENTER * sum);
    }
  }
  return sum;
}

/** What a sum of products begins with. */
// @ts-ignore: decorator
@inline function begin(low: i32, high: i32): i32 {
  return BITS == 8 ? -CENTER * (low + high) : start(low, high, CENTER);
}

/** Sixteen columns. Returns the sums of each fourth integer. */
// @ts-ignore: decorator
@inline function sixteen(x: usize, integers: usize, inverse: v128): v128 {
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < 2; i++) {
    const low = nearest(f32x4.mul(v128.load(x + 32 * i), inverse));
    const high = nearest(f32x4.mul(v128.load(x + 32 * i, 16), inverse));
    sum = i32x4.add(sum, i32x4.add(low, high));
    if (BITS == 8) storePairs(integers + i * (xGroup() / 4), low, high);
    else storeEight(integers + i * (xGroup() / 4), low, high);
  }
  return sum;
}

/**
 * The nearest integers, ties to even, of values within 2^22: added to 1.5 * 2^23, they are the low
 * bits of the sum.
 */
// @ts-ignore: decorator
@inline function nearest(x: v128): v128 {
  return i32x4.sub(f32x4.add(x, f32x4.splat(<f32>12582912)), i32x4.splat(0x4b400000));
}
