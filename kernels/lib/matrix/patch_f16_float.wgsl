// Four columns of four rows of f16 weights.
#import "lib/matrix/weights.wgsl"

// Column k of the result: column 4 quad + k of rows row .. row + 3; row a multiple of 4.
fn patch_of(expert: u32, row: u32, quad: u32) -> mat4x4f {
  let at = block_at(expert, row) + quad * 4 + row / 4 % 2;
  let p = w[at];
  let q = w[at + 2];
  return transpose(mat4x4f(
    vec4f(unpack2x16float(p.x), unpack2x16float(q.x)),
    vec4f(unpack2x16float(p.y), unpack2x16float(q.y)),
    vec4f(unpack2x16float(p.z), unpack2x16float(q.z)),
    vec4f(unpack2x16float(p.w), unpack2x16float(q.w)),
  ));
}
