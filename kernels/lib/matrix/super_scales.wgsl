// Scales that are integers with a factor d, an f16 a group of 256 columns in the plane FACTORS:
// w = (d s) (level - ZERO). The format's weights.wgsl has the integers of rows: integers4(),
// integers1().
#import "lib/matrix/super_factor.wgsl"

fn scales4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  return halves4(factor_at(expert, panel, unit), half) * vec4f(integers4(expert, panel, half, unit));
}

fn scale1(expert: u32, row: u32, unit: u32) -> f32 {
  return half1(factor_at(expert, row / 8, unit), row) * f32(integers1(expert, row, unit));
}
