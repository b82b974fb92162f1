// Weights held as 2 bits, with a scale and a min of 4 bits a group of 16 and their factors, two
// f16, a group of 256 (q2_k.ts).
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/two_bits.wgsl"
#import "lib/matrix/super_mins.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 2u;
const TWO_BITS = 0;
const FACTORS = 2;
const WIDE = false;

fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  return two_bits4(expert, panel, half, unit, side);
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  return two_bits1(expert, row, unit, side);
}

// Where the scales and mins of a panel's rows lie, a byte for 16 columns and a byte for the next.
fn pairs_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.y + panel * (super_groups() * 8) + unit / 4;
}

fn integers4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4u {
  let pairs = elements4(pairs_at(expert, panel, unit), half) >> vec4u(unit / 2 % 2 * 8);
  return (pairs & vec4u(15)) | ((pairs & vec4u(0xf0)) << vec4u(4));
}

fn integers1(expert: u32, row: u32, unit: u32) -> u32 {
  let pair = element1(pairs_at(expert, row / 8, unit), row) >> (unit / 2 % 2 * 8);
  return (pair & 15) | ((pair & 0xf0) << 4);
}
