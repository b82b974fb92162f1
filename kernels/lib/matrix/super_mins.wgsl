// Scales and mins with factors d and dmin, two f16 a group of 256 columns in the plane FACTORS:
// w = (d s) level - dmin m. The format's weights.wgsl has the integers s and m of rows:
// integers4(), integers1() -> s in the low byte, m in the next.
#import "lib/matrix/super_groups.wgsl"
#import "lib/matrix/two_halves.wgsl"

const ZERO = 0;
const OFFSETS = true;

fn factors_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes[FACTORS] + panel * (super_groups() * 2) + unit / 32 * 2;
}

fn scales4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  let d = first4(w[factors_at(expert, panel, unit) + half]);
  return d * vec4f(integers4(expert, panel, half, unit) & vec4u(255));
}

fn offsets4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  let dmin = second4(w[factors_at(expert, panel, unit) + half]);
  return dmin * vec4f(integers4(expert, panel, half, unit) >> vec4u(8));
}

fn scale1(expert: u32, row: u32, unit: u32) -> f32 {
  let factors = w[factors_at(expert, row / 8, unit) + row / 4 % 2][row % 4];
  return unpack2x16float(factors).x * f32(integers1(expert, row, unit) & 255);
}

fn offset1(expert: u32, row: u32, unit: u32) -> f32 {
  let factors = w[factors_at(expert, row / 8, unit) + row / 4 % 2][row % 4];
  return unpack2x16float(factors).y * f32(integers1(expert, row, unit) >> 8);
}
