// Rows of f32 as packed planes, bit for bit what pack() of kernels/formats makes of them.

import { finiteHalf, mostOf, ofHalf, packHalves } from "./lib/simd/half.simd";
import { packQ4, storeConstants } from "./lib/simd/quantize_q4.simd";
import { scratchOf } from "./lib/simd/scratch.simd";

/** In a thread's scratch, f32 [32]: a row's last group with zeros behind it. The rest is lib/simd/quantize_q4.simd.ts's. */
const PADDED: usize = 0;

/**
 * Rows [from, to) of x [count, cols] at `x` to the planes at `quants` and `scales`, which hold all `count` rows.
 * precision: 0 f32, 1 f16 (both leave scales alone), 2 q8, 3 q4.
 */
export function pack(from: u32, to: u32, thread: u32, precision: u32, x: usize, cols: u32, quants: usize, scales: usize): void {
  const groups = (cols + 31) / 32;
  const bytes: usize = precision == 0 ? 128 : precision == 1 ? 64 : precision == 2 ? 32 : 16;
  const scratch = scratchOf(thread);
  storeConstants(scratch);
  for (let r = from; r < to; r++) {
    let source = x + <usize>r * cols * 4;
    let quant = quants + <usize>r * groups * bytes;
    let scale = scales + <usize>r * groups * 2;
    if (precision == 0) {
      memory.copy(quant, source, <usize>cols * 4);
      memory.fill(quant + <usize>cols * 4, 0, <usize>(groups * 32 - cols) * 4);
      continue;
    }
    for (let left: i32 = cols; left > 0; left -= 32) {
      let values = source;
      if (left < 32) {
        values = scratch + PADDED;
        memory.fill(values, 0, 128);
        memory.copy(values, source, left * 4);
      }
      if (precision == 1) packHalves(values, quant);
      else store<u16>(scale, precision == 2 ? packQ8(values, quant) : packQ4(values, quant, scratch));
      source += 128;
      quant += bytes;
      scale += 2;
    }
  }
}

/** Writes 32 levels at y. Returns their scale. */
function packQ8(x: usize, y: usize): u32 {
  const most = mostBits(x);
  if (most > 0x7f800000) {
    memory.fill(y, 128, 32);
    return 0x7e00; // a NaN spoils its group, as it should
  }
  const half = finiteHalf(<f64>reinterpret<f32>(most) / 127);
  const scale = ofHalf(half);
  const inverse = f32x4.splat(scale > 0 ? 1 / scale : 0);
  let farthest = f32x4.splat(0);
  let first = i32x4.splat(0);
  for (let i: usize = 0; i < 4; i++) {
    const a = f32x4.mul(v128.load(x + 32 * i), inverse);
    const b = f32x4.mul(v128.load(x + 32 * i, 16), inverse);
    const low = f32x4.pmax(f32x4.pmin(a, f32x4.splat(127)), f32x4.splat(-127));
    const high = f32x4.pmax(f32x4.pmin(b, f32x4.splat(127)), f32x4.splat(-127));
    // Adding 1.5 * 2^23 rounds and leaves the integer in the low bits.
    const lowBits = f32x4.add(low, f32x4.splat(12582912));
    const highBits = f32x4.add(high, f32x4.splat(12582912));
    farthest = f32x4.pmax(farthest, f32x4.abs(f32x4.sub(low, f32x4.sub(lowBits, f32x4.splat(12582912)))));
    farthest = f32x4.pmax(farthest, f32x4.abs(f32x4.sub(high, f32x4.sub(highBits, f32x4.splat(12582912)))));
    const eight = i16x8.narrow_i32x4_s(
      i32x4.sub(lowBits, i32x4.splat(0x4b400000)),
      i32x4.sub(highBits, i32x4.splat(0x4b400000)),
    );
    if ((i & 1) == 0) first = eight;
    else v128.store(y + 8 * i - 8, v128.xor(i8x16.narrow_i16x8_s(first, eight), i8x16.splat(-128)));
  }
  // f32's quotients are off by 127 * 2^-23 at most: nearer to a half than that, f64 decides.
  if (v128.any_true(f32x4.gt(farthest, f32x4.splat(<f32>0.49998)))) exactQ8(x, y, 1 / <f64>scale);
  return half;
}

function exactQ8(x: usize, y: usize, inverse: f64): void {
  for (let i: usize = 0; i < 32; i++) {
    const multiple = <f64>load<f32>(x + 4 * i) * inverse;
    const above = ceil(multiple);
    const rounded = above - 0.5 > multiple ? above - 1 : above; // Math.round; floor(x + 0.5) takes 0.5 - 2^-54 up
    store<u8>(y + i, <u8>(<i32>max<f64>(-127, min<f64>(127, rounded)) + 128));
  }
}

/** The bits of max|x| of a group; NaN, which is above infinity here, where there is one. */
// @ts-ignore: decorator
@inline function mostBits(x: usize): u32 {
  let most = i32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) most = i32x4.max_u(most, v128.and(v128.load(x + i), i32x4.splat(0x7fffffff)));
  return mostOf(most);
}
