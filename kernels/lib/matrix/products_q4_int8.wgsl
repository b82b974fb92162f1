// Eight rows of q4 weights by eight columns of int8 activations, four products an instruction.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"
#import "lib/matrix/scale_rows.wgsl"

fn one_row(word: u32, u: Unit) -> i32 {
  return dot4I8Packed(word & 0x0f0f0f0f, u.a) + dot4I8Packed((word >> 4) & 0x0f0f0f0f, u.b);
}

// The zero point of 8 is taken off by the sum of the activations.
fn four_rows(words: vec4u, u: Unit) -> vec4f {
  return vec4f(vec4i(one_row(words.x, u), one_row(words.y, u), one_row(words.z, u), one_row(words.w, u)) - 8 * u.sum);
}

fn products(expert: u32, row: u32, unit: u32, u: Unit) -> Rows8 {
  let at = block_at(expert, row) + unit * 2;
  let scale = scale_rows(scales8(expert, row, unit));
  return Rows8(u.scale * scale.lo * four_rows(w[at], u), u.scale * scale.hi * four_rows(w[at + 1], u));
}
