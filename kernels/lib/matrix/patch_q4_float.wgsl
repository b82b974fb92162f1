// Four columns of four rows of q4 weights.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/patch_scales.wgsl"

// Column k of the result: column 4 quad + k of rows row .. row + 3; row a multiple of 4.
fn patch_of(expert: u32, row: u32, quad: u32) -> mat4x4f {
  // A word holds eight columns: the low nibbles of its bytes are the first four.
  let words = w[block_at(expert, row) + quad / 2 * 2 + row / 4 % 2] >> vec4u(quad % 2 * 4);
  let scale = patch_scales(expert, row, quad);
  return mat4x4f(
    scale * (vec4f(words & vec4u(15)) - 8),
    scale * (vec4f((words >> vec4u(8)) & vec4u(15)) - 8),
    scale * (vec4f((words >> vec4u(16)) & vec4u(15)) - 8),
    scale * (vec4f((words >> vec4u(24)) & vec4u(15)) - 8),
  );
}
