// Weights held as signed magnitudes 2, 6, ..., 26 and 31, with an int8 scale a group of 32 and its
// factor, an f16, a group of 256 (iq3_xxs.ts): w = (d s / 2) magnitude.
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/signed_places.wgsl"
#import "lib/matrix/super_factor.wgsl"
#import "lib/matrix/group_integers.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 1u;
const ZERO = 32;
const FACTORS = 2;

// Place 7 stands for 31, one more than the others' rule.
fn magnitudes(places: vec4u) -> vec4u {
  let last = places & (places >> vec4u(1)) & (places >> vec4u(2)) & vec4u(0x01010101);
  return places * 4 + vec4u(0x02020202) + last;
}

fn scales4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  let scales = vec4f(integers4(expert, panel, half, unit)) * 0.5;
  return halves4(factor_at(expert, panel, unit), half) * scales;
}

fn scale1(expert: u32, row: u32, unit: u32) -> f32 {
  return half1(factor_at(expert, row / 8, unit), row) * (f32(integers1(expert, row, unit)) * 0.5);
}
