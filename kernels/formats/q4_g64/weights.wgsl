// Weights held as 4 bits with a scale and a zero point a group of 64 columns.
#import "lib/matrix/affine.wgsl"

const GROUP_UNITS = 8u;
