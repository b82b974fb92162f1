// Four columns of four rows of q4 weights, as int8.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/patch_scales.wgsl"

// A word a row, of rows row .. row + 3, row a multiple of 4: columns 4 quad .. 4 quad + 3, without their scale.
fn patch_of(expert: u32, row: u32, quad: u32) -> vec4u {
  // A word holds eight columns: the low nibbles of its bytes are the first four.
  let words = w[block_at(expert, row) + quad / 2 * 2 + row / 4 % 2] >> vec4u(quad % 2 * 4);
  // Less the zero point of 8: with the top bit set no byte borrows from its neighbour.
  return (((words & vec4u(0x0f0f0f0f)) | vec4u(0x80808080)) - vec4u(0x08080808)) ^ vec4u(0x80808080);
}
