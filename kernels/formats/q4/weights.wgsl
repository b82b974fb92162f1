// Weights held as 4 bits with an f16 scale a group of 32: a word is eight columns (order: q4.ts).
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/nibbles.wgsl"
#import "lib/matrix/scales_f16.wgsl"
#import "lib/matrix/no_offsets.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const ZERO = 8;
const WIDE = false;

fn level_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + panel * (part.groups * 8) + unit * 2;
}

fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  return nibbles4(level_at(expert, panel, unit) + half, side);
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  return nibbles1(level_at(expert, row / 8, unit) + row / 4 % 2, row % 4, side);
}
