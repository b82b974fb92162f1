// Eight rows of q8 weights by eight columns of int8 activations, four products an instruction.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"
#import "lib/matrix/scale_rows.wgsl"

// Weights are stored plus 128: flipping the sign bit makes them int8.
fn one_row(a: u32, b: u32, u: Unit) -> i32 {
  return dot4I8Packed(a ^ 0x80808080, u.a) + dot4I8Packed(b ^ 0x80808080, u.b);
}

fn four_rows(a: vec4u, b: vec4u, u: Unit) -> vec4f {
  return vec4f(vec4i(one_row(a.x, b.x, u), one_row(a.y, b.y, u), one_row(a.z, b.z, u), one_row(a.w, b.w, u)));
}

fn products(expert: u32, row: u32, unit: u32, u: Unit) -> Rows8 {
  let at = block_at(expert, row) + unit * 4;
  let scale = scale_rows(scales8(expert, row, unit));
  return Rows8(u.scale * scale.lo * four_rows(w[at], w[at + 2], u), u.scale * scale.hi * four_rows(w[at + 1], w[at + 3], u));
}
