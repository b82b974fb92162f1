// Scales (2 s + 1) d / 8: s a nibble a group of 16 columns, four an element of the third plane; d
// an f16 a group of 256 in the plane FACTORS.
#import "lib/matrix/super_factor.wgsl"

fn nibbles_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.z + panel * (super_groups() * 4) + unit / 8;
}

fn scales4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  let s = (elements4(nibbles_at(expert, panel, unit), half) >> vec4u(unit / 2 % 4 * 4)) & vec4u(15);
  return halves4(factor_at(expert, panel, unit), half) * (vec4f(s) * 0.25 + 0.125);
}

fn scale1(expert: u32, row: u32, unit: u32) -> f32 {
  let s = (element1(nibbles_at(expert, row / 8, unit), row) >> (unit / 2 % 4 * 4)) & 15;
  return half1(factor_at(expert, row / 8, unit), row) * (f32(s) * 0.25 + 0.125);
}
