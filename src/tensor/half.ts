// Conversions between f32 and the 16-bit floats: IEEE half (f16) and
// bfloat16, with round-to-nearest-even.

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);

/** f32 -> the bits of the nearest f16; ties to even, overflow to infinity, subnormals kept. */
export function toHalf(value: number): number {
  f32[0] = value;
  const bits = u32[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  // NaN, or overflow to infinity
  if (magnitude >= 0x47800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
  if (magnitude < 0x38800000) {
    // Below 2^-14 an f16 is a multiple of 2^-24: adding 0.5 in f32 makes the hardware round to
    // exactly that grid.
    f32[0] = Math.abs(value) + 0.5;
    return sign | (u32[0]! - 0x3f000000);
  }
  const odd = (magnitude >>> 13) & 1;
  return sign | ((magnitude - 0x38000000 + 0xfff + odd) >>> 13);
}

/** The same, but clamps to the largest f16: one infinity would turn a whole row into NaN. */
export function toFiniteHalf(value: number): number {
  const half = toHalf(value);
  return (half & 0x7fff) === 0x7c00 ? half - 1 : half;
}

/**
 * f16 bits -> number, for all 65,536 patterns: one load, no branches. 256 KiB, created
 * with this module.
 */
export const HALF_TO_FLOAT: Float32Array = (() => {
  const table = new Float32Array(65536);
  const bits = new Uint32Array(table.buffer);
  // The same bits, with a bias of the exponent that is greater by 112; of infinities and NaN all
  // bits of it are set. Subnormal ones are multiples of 2^-24.
  for (let half = 0x0400; half < 0x7c00; half++) bits[half] = (half << 13) + (112 << 23);
  for (let half = 0x7c00; half < 0x8000; half++) bits[half] = (half << 13) | 0x7f800000;
  for (let half = 0; half < 0x0400; half++) table[half] = half * 2 ** -24;
  for (let half = 0; half < 0x8000; half++) bits[0x8000 + half] = bits[half]! | 0x80000000;
  return table;
})();

/** f16 bits [n] -> f32 [n]. Returns whether all are finite numbers. */
export function halfToFloats(from: Uint16Array, into: Float32Array): boolean {
  let carry = 0; // only from an exponent of all ones, here and below
  for (let i = 0; i < from.length; i++) {
    const half = from[i]!;
    carry |= (half & 0x7c00) + 0x0400;
    into[i] = HALF_TO_FLOAT[half]!;
  }
  return (carry & 0x8000) === 0;
}

/** Whether the bits [n] of f16 or bf16 are all of finite numbers. */
export function areFinite(dtype: "F16" | "BF16", numbers: Uint16Array): boolean {
  const exponent = dtype === "F16" ? 0x7c00 : 0x7f80;
  const one = exponent & -exponent;
  let carry = 0; // into the sign, from an exponent of all ones only
  let i = 0;
  if (numbers.byteOffset % 4 === 0) {
    // Two at a time; a carry of the lower one ends at its own sign.
    const pairs = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length >>> 1);
    const both = [exponent * 0x10001, one * 0x10001] as const;
    for (; i < pairs.length; i++) carry |= (pairs[i]! & both[0]) + both[1];
    carry |= carry >>> 16;
    i *= 2;
  }
  for (; i < numbers.length; i++) carry |= (numbers[i]! & exponent) + one;
  return (carry & 0x8000) === 0;
}

/**
 * bfloat16 bits [n] -> f32 [n]: the upper half of the f32 pattern. Returns whether all are finite
 * numbers.
 */
export function bfloatToFloats(from: Uint16Array, into: Float32Array): boolean {
  const bits = new Uint32Array(into.buffer, into.byteOffset, from.length);
  let carry = 0;
  let i = 0;
  if (from.byteOffset % 4 === 0) {
    // Two at a time; a carry of the lower one ends at its own bit 15.
    const pairs = new Uint32Array(from.buffer, from.byteOffset, from.length >>> 1);
    for (let pair = 0; pair < pairs.length; pair++, i += 2) {
      const two = pairs[pair]!;
      carry |= (two & 0x7f807f80) + 0x00800080;
      bits[i] = two << 16;
      bits[i + 1] = two & 0xffff0000;
    }
    carry |= carry >>> 16;
  }
  for (; i < from.length; i++) {
    const half = from[i]!;
    carry |= (half & 0x7f80) + 0x0080;
    bits[i] = half << 16;
  }
  return (carry & 0x8000) === 0;
}

/**
 * f32 -> the bits of the nearest finite bf16; ties to even. For finite values: those above the
 * largest bf16 become it.
 */
export function toFiniteBfloat(value: number): number {
  f32[0] = value;
  const bits = u32[0]!;
  const rounded = (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  return (rounded & 0x7fff) === 0x7f80 ? rounded - 1 : rounded;
}
