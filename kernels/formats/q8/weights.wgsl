// Weights held as int8 with an f16 scale a group of 32: a word is four columns, each stored plus
// 128.
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/scales_f16.wgsl"
#import "lib/matrix/no_offsets.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 1u;
const ZERO = 128;
const WIDE = true;
const SCALES = 1;

fn level_at(expert: u32, panel: u32, unit: u32, side: u32) -> u32 {
  return expert * part.stride + panel * (part.groups * 16) + unit * 4 + side * 2;
}

fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  return w[level_at(expert, panel, unit, side) + half];
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  return w[level_at(expert, row / 8, unit, side) + row / 4 % 2][row % 4];
}
