// Writes a token's keys or values to its position in its sequence's blocks, as f32 or
// as f16.

/**
 * For tokens [from, to): kvWidth = Hkv Dh floats of row t of x [T, width], from float `offset` on,
 * go to address slots[t]. Where `half` is not 0 they become f16: to the nearest, ties to even, what
 * is too large to the largest.
 */
export function append(
  from: u32,
  to: u32,
  thread: u32,
  x: usize,
  width: u32,
  offset: u32,
  slots: usize,
  kvWidth: u32,
  half: u32,
): void {
  const bytes = <usize>kvWidth * 4;
  for (let t = <usize>from; t < <usize>to; t++) {
    const row = x + (t * <usize>width + <usize>offset) * 4;
    const slot = <usize>load<u32>(slots + t * 4);
    if (!half) memory.copy(slot, row, bytes);
    else {
      let i: usize = 0;
      for (; i + 16 <= bytes; i += 16) v128.store64_lane(slot + i / 2, toFiniteHalves(v128.load(row + i)), 0);
      for (; i < bytes; i += 4) v128.store16_lane(slot + i / 2, toFiniteHalves(v128.load32_zero(row + i)), 0);
    }
  }
}

/**
 * Four f32 -> the bits of four f16 in the first half of a vector: toFiniteHalf of tensor/half.ts,
 * lane by lane.
 */
// @ts-ignore: decorator
@inline function toFiniteHalves(x: v128): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(magnitude, i32x4.splat(0xfff - 0x38000000)), odd), 13);
  // Below 2^-14 an f16 is a multiple of 2^-24: adding 0.5 in f32 makes the hardware round to
  // exactly that grid.
  const small = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
  const any = v128.bitselect(small, rounded, i32x4.lt_s(magnitude, i32x4.splat(0x38800000)));
  const finite = i32x4.min_s(any, i32x4.splat(0x7bff));
  const number = v128.bitselect(i32x4.splat(0x7e00), finite, i32x4.gt_s(magnitude, i32x4.splat(0x7f800000)));
  const sign = v128.and(i32x4.shr_u(x, 16), i32x4.splat(0x8000));
  const bits = v128.or(number, sign);
  return i16x8.narrow_i32x4_u(bits, bits);
}
