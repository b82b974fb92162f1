// Eight rows of q4 weights by eight columns: the zero point of 8 is taken off once, by the sum of the activations.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"
#import "lib/matrix/scale_rows.wgsl"

// A row's weights plus 8, by the activations.
fn one_row(word: u32, u: Unit) -> f32 {
  return dot(bytes4(word & 0x0f0f0f0f), u.a) + dot(bytes4((word >> 4) & 0x0f0f0f0f), u.b);
}

fn four_rows(words: vec4u, u: Unit) -> vec4f {
  return vec4f(one_row(words.x, u), one_row(words.y, u), one_row(words.z, u), one_row(words.w, u)) - 8 * u.sum;
}

fn products(expert: u32, row: u32, unit: u32, u: Unit) -> Rows8 {
  let at = block_at(expert, row) + unit * 2;
  let scale = scale_rows(scales8(expert, row, unit));
  return Rows8(scale.lo * four_rows(w[at], u), scale.hi * four_rows(w[at + 1], u));
}
