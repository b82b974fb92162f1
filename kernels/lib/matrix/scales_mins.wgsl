// A scale and a min of a byte each, a group of 32 columns, in the plane SCALES.
#import "lib/matrix/super_mins.wgsl"

fn pairs_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes[SCALES] + panel * (super_groups() * 8) + unit / 4;
}

fn integers4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4u {
  return elements4(pairs_at(expert, panel, unit), half);
}

fn integers1(expert: u32, row: u32, unit: u32) -> u32 {
  return element1(pairs_at(expert, row / 8, unit), row);
}
