// A scale and what is added, two f16 a group of 32 columns, in the plane SCALES: w = d level + m.
#import "lib/matrix/two_halves.wgsl"

const ZERO = 0;
const OFFSETS = true;

fn pair_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes[SCALES] + panel * (part.groups * 2) + unit / 4 * 2;
}

fn scales4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  return first4(w[pair_at(expert, panel, unit) + half]);
}

fn offsets4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  return -second4(w[pair_at(expert, panel, unit) + half]);
}

fn scale1(expert: u32, row: u32, unit: u32) -> f32 {
  return unpack2x16float(w[pair_at(expert, row / 8, unit) + row / 4 % 2][row % 4]).x;
}

fn offset1(expert: u32, row: u32, unit: u32) -> f32 {
  return -unpack2x16float(w[pair_at(expert, row / 8, unit) + row / 4 % 2][row % 4]).y;
}
