// Weights held as signs and magnitudes 8, 25 and 43, two bits each, with odd scales of groups of 16
// and their factor, an f16, a group of 256 (iq2.ts).
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/two_bits.wgsl"
#import "lib/matrix/one_bit.wgsl"
#import "lib/matrix/odd_scales.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 2u;
const ZERO = 64;
const WIDE = true;
const TWO_BITS = 0;
const FACTORS = 3;

// The magnitudes of four places, and 64 more or less by their signs.
fn with_signs(places: vec4u, minus: vec4u) -> vec4u {
  let found = places * 17 + ((places >> vec4u(1)) & vec4u(0x01010101)) + vec4u(0x08080808);
  return found + vec4u(ZERO * 0x01010101) - (found & (minus * 255)) * 2;
}

fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  return with_signs(two_bits4(expert, panel, half, unit, side), one_bit4(expert, panel, half, unit, side));
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  return with_signs(vec4u(two_bits1(expert, row, unit, side)), vec4u(one_bit1(expert, row, unit, side))).x;
}
