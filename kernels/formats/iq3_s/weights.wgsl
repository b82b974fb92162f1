// Weights held as signed magnitudes 1, 3, ..., 15, with an int8 scale a group of 32 and its factor,
// an f16, a group of 256 (iq3_s.ts).
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/signed_places.wgsl"
#import "lib/matrix/super_scales.wgsl"
#import "lib/matrix/group_integers.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 1u;
const ZERO = 16;
const FACTORS = 2;

fn magnitudes(places: vec4u) -> vec4u {
  return places * 2 + vec4u(0x01010101);
}
