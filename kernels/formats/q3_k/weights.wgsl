// Weights held as 3 bits, with a scale of 6 bits a group of 16 and its factor, an f16, a group of
// 256 (q3_k.ts). The low two bits and the high one lie in planes of their own.
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/two_bits.wgsl"
#import "lib/matrix/one_bit.wgsl"
#import "lib/matrix/super_scales.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 2u;
const ZERO = 4;
const WIDE = false;
const TWO_BITS = 0;
const FACTORS = 3;

fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  return two_bits4(expert, panel, half, unit, side) | (one_bit4(expert, panel, half, unit, side) << vec4u(2));
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  return two_bits1(expert, row, unit, side) | (one_bit1(expert, row, unit, side) << 2);
}

// Where the scales of a panel's rows lie in 256 columns: four elements of low bits, two of high.
fn scales_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.z + panel * (super_groups() * 6) + unit / 32 * 6;
}

fn integers4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4i {
  let at = scales_at(expert, panel, unit);
  let low = elements4(at + unit / 8 % 4, half) >> vec4u(unit / 2 % 4 * 4);
  let high = elements4(at + 4 + unit / 16 % 2, half) >> vec4u(unit / 2 % 8 * 2);
  return vec4i((low & vec4u(15)) | ((high & vec4u(3)) << vec4u(4))) - 32;
}

fn integers1(expert: u32, row: u32, unit: u32) -> i32 {
  let at = scales_at(expert, row / 8, unit);
  let low = element1(at + unit / 8 % 4, row) >> (unit / 2 % 4 * 4);
  let high = element1(at + 4 + unit / 16 % 2, row) >> (unit / 2 % 8 * 2);
  return i32((low & 15) | ((high & 3) << 4)) - 32;
}
