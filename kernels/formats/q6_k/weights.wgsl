// Weights held as 6 bits, with an int8 scale a group of 16 and its factor, an f16, a group of 256
// (q6_k.ts): w = (d s) (level - 32). The low four bits and the high two lie in planes of their own.
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/nibbles.wgsl"
#import "lib/matrix/super_groups.wgsl"
#import "lib/matrix/no_offsets.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const ZERO = 32;
const WIDE = true;

fn low_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + panel * (super_groups() * 64) + unit * 2;
}

// A word holds the high bits of 16 columns: two bits of each byte are those of four columns.
fn high_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.y + panel * (super_groups() * 32) + unit / 2 * 2;
}

fn high_shift(unit: u32, side: u32) -> u32 {
  return unit % 2 * 4 + side * 2;
}

fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  let high = (w[high_at(expert, panel, unit) + half] >> vec4u(high_shift(unit, side))) & vec4u(0x03030303);
  return nibbles4(low_at(expert, panel, unit) + half, side) | (high << vec4u(4));
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  let half = row / 4 % 2;
  let high = (w[high_at(expert, row / 8, unit) + half][row % 4] >> high_shift(unit, side)) & 0x03030303;
  return nibbles1(low_at(expert, row / 8, unit) + half, row % 4, side) | (high << 4);
}

// Where the scales of a panel's rows lie, two bytes a row: of 16 columns, and of the next 16.
fn scale_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.z + panel * (super_groups() * 8) + unit / 4;
}

// Where d of a panel's rows lies.
fn factor_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.w + panel * super_groups() + unit / 32;
}

fn scales4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  let scales = elements4(scale_at(expert, panel, unit), half) << vec4u(24 - unit / 2 % 2 * 8);
  return halves4(factor_at(expert, panel, unit), half) * vec4f(bitcast<vec4i>(scales) >> vec4u(24));
}

fn scale1(expert: u32, row: u32, unit: u32) -> f32 {
  let scale = element1(scale_at(expert, row / 8, unit), row) << (24 - unit / 2 % 2 * 8);
  return half1(factor_at(expert, row / 8, unit), row) * f32(bitcast<i32>(scale) >> 24);
}
