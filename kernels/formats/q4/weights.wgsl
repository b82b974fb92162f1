// Weights held as 4 bits with an f16 scale a group of 32 (q4.ts).
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/groups.wgsl"
#import "lib/matrix/nibble_levels.wgsl"
#import "lib/matrix/scales_f16.wgsl"
#import "lib/matrix/no_offsets.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 1u;
const ZERO = 8;
const SCALES = 1;
