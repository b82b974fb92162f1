// Weights held as 4 bits, with an f16 scale and a zero point of a byte a group of 8 GROUP_UNITS
// columns (affine.ts): w = s (level - 8) - s (zero - 8), both exact in f32.
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/nibble_levels.wgsl"
#import "lib/matrix/super_groups.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 1u;
const ZERO = 8;
const OFFSETS = true;

fn scale_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.y + panel * (super_groups() * (32 / GROUP_UNITS)) + unit / GROUP_UNITS;
}

// Where the zero points of a panel's rows lie, two bytes a row: of a group, and of the next.
fn zeros_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.z + panel * (super_groups() * (16 / GROUP_UNITS)) + unit / (2 * GROUP_UNITS);
}

fn zero_shift(unit: u32) -> u32 {
  return unit / GROUP_UNITS % 2 * 8;
}

fn scales4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  return halves4(scale_at(expert, panel, unit), half);
}

fn offsets4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  let zeros = (elements4(zeros_at(expert, panel, unit), half) >> vec4u(zero_shift(unit))) & vec4u(255);
  return scales4(expert, panel, half, unit) * (vec4f(zeros) - ZERO);
}

fn scale1(expert: u32, row: u32, unit: u32) -> f32 {
  return half1(scale_at(expert, row / 8, unit), row);
}

fn offset1(expert: u32, row: u32, unit: u32) -> f32 {
  let zero = (element1(zeros_at(expert, row / 8, unit), row) >> zero_shift(unit)) & 255;
  return scale1(expert, row, unit) * (f32(zero) - ZERO);
}
