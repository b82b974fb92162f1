// Weights held as 6 bits, with an int8 scale a group of 16 and its factor, an f16, a group of 256
// (q6_k.ts). The low four bits and the high two lie in planes of their own.
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/nibbles.wgsl"
#import "lib/matrix/two_bits.wgsl"
#import "lib/matrix/super_scales.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 1u;
const ZERO = 32;
const WIDE = true;
const TWO_BITS = 1;
const FACTORS = 3;

fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  return nibbles4(expert, panel, half, unit, side) | (two_bits4(expert, panel, half, unit, side) << vec4u(4));
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  return nibbles1(expert, row, unit, side) | (two_bits1(expert, row, unit, side) << 4);
}

// Where the scales of a panel's rows lie, two bytes a row: of 16 columns, and of the next 16.
fn scale_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.z + panel * (super_groups() * 8) + unit / 4;
}

fn integers4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4i {
  let scales = elements4(scale_at(expert, panel, unit), half) << vec4u(24 - unit / 2 % 2 * 8);
  return bitcast<vec4i>(scales) >> vec4u(24);
}

fn integers1(expert: u32, row: u32, unit: u32) -> i32 {
  return signed_byte(element1(scale_at(expert, row / 8, unit), row), unit / 2 % 2 * 8);
}
