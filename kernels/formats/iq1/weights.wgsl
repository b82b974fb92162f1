// Weights held as thirds t and a bit b, 8 t + 2 b - 9, with odd scales of groups of 16 and their
// factor, an f16, a group of 256 (iq1.ts).
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/two_bits.wgsl"
#import "lib/matrix/one_bit.wgsl"
#import "lib/matrix/odd_scales.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 2u;
const ZERO = 9;
const WIDE = true;
const TWO_BITS = 0;
const FACTORS = 3;

fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  let thirds = two_bits4(expert, panel, half, unit, side);
  return (thirds << vec4u(3)) | (one_bit4(expert, panel, half, unit, side) << vec4u(1));
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  return (two_bits1(expert, row, unit, side) << 3) | (one_bit1(expert, row, unit, side) << 1);
}
