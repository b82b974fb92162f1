// Weights held as 4 bits with a scale and a zero point a group of 32 columns.
#import "lib/matrix/affine.wgsl"

const GROUP_UNITS = 4u;
