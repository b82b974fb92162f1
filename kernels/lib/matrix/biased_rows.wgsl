// Rows of a matrix with biases, for a kernel that multiplies by several matrices: of each but the
// first it imports this file under a name.
#import "lib/matrix/matvec.wgsl"
#import "lib/matrix/row_bias.wgsl"
