// Weights held as 4 bits, with a scale and a min of 6 bits a group of 32 and their factors, two
// f16, a group of 256 (q4_k.ts).
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/nibble_levels.wgsl"
#import "lib/matrix/scales_mins.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 1u;
const SCALES = 1;
const FACTORS = 2;
