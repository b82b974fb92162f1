// Four columns of four rows of q8 weights, as int8.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/patch_scales.wgsl"

// A word a row, of rows row .. row + 3, row a multiple of 4: columns 4 quad .. 4 quad + 3, without their scale.
fn patch_of(expert: u32, row: u32, quad: u32) -> vec4u {
  // Weights are stored plus 128: flipping the sign bit makes them int8.
  return w[block_at(expert, row) + quad * 2 + row / 4 % 2] ^ vec4u(0x80808080);
}
