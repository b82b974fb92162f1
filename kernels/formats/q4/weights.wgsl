// Weights held as 4 bits with an f16 scale a group of 32: a word is eight columns (order: q4.ts).
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/scales_f16.wgsl"
#import "lib/matrix/no_offsets.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const ZERO = 8;
const WIDE = false;

fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  let words = w[expert * part.stride + panel * (part.groups * 8) + unit * 2 + half];
  return (words >> vec4u(side * 4)) & vec4u(0x0f0f0f0f);
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  let word = w[expert * part.stride + row / 8 * (part.groups * 8) + unit * 2 + row / 4 % 2][row % 4];
  return (word >> (side * 4)) & 0x0f0f0f0f;
}
