// Eight rows of bf16 weights by eight columns of f32 activations.
#import "lib/matrix/halves_by_f32.wgsl"
