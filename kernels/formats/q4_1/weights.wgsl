// Weights held as 4 bits, with a scale and a smallest weight, two f16, a group of 32 (q4_1.ts).
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/groups.wgsl"
#import "lib/matrix/nibble_levels.wgsl"
#import "lib/matrix/scales_added.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 1u;
const SCALES = 1;
