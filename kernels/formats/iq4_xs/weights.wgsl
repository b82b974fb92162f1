// Weights held as codes of a table, with an int8 scale a group of 32 and its factor, an f16, a
// group of 256 (iq4_xs.ts).
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/iq4_levels.wgsl"
#import "lib/matrix/super_scales.wgsl"
#import "lib/matrix/group_integers.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 1u;
const FACTORS = 2;
