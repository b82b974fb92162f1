// Scales that are integers with a factor d, an f16 a group of 256 columns in the plane FACTORS:
// w = (d s) (level - ZERO). The format's weights.wgsl has the integers of rows: integers4(),
// integers1().
#import "lib/matrix/super_groups.wgsl"
#import "lib/matrix/no_offsets.wgsl"

fn factor_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes[FACTORS] + panel * super_groups() + unit / 32;
}

fn scales4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  return halves4(factor_at(expert, panel, unit), half) * vec4f(integers4(expert, panel, half, unit));
}

fn scale1(expert: u32, row: u32, unit: u32) -> f32 {
  return half1(factor_at(expert, row / 8, unit), row) * f32(integers1(expert, row, unit));
}

// The byte of a word that begins at a bit, as int8.
fn signed_byte(word: u32, bit: u32) -> i32 {
  return bitcast<i32>(word << (24 - bit)) >> 24;
}
