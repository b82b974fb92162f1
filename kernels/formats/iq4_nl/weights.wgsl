// Weights held as codes of a table, with an f16 scale a group of 32 (iq4_nl.ts).
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/groups.wgsl"
#import "lib/matrix/iq4_levels.wgsl"
#import "lib/matrix/scales_f16.wgsl"
#import "lib/matrix/no_offsets.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 1u;
const SCALES = 1;
