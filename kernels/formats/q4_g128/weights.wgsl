// Weights held as 4 bits with a scale and a zero point a group of 128 columns.
#import "lib/matrix/affine.wgsl"

const GROUP_UNITS = 16u;
