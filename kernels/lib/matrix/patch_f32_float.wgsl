// Four columns of four rows of f32 weights.
#import "lib/matrix/weights.wgsl"

// Column k of the result: column 4 quad + k of rows row .. row + 3; row a multiple of 4.
fn patch_of(expert: u32, row: u32, quad: u32) -> mat4x4f {
  let at = block_at(expert, row) + quad * 8 + row / 4 % 2;
  return mat4x4f(w[at], w[at + 2], w[at + 4], w[at + 6]);
}
