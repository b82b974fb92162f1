// Eight rows of q4 weights by eight columns, in f16: a nibble becomes a number by being the last bits of 1024.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"
#import "lib/matrix/scale_rows.wgsl"

// The nibbles at the ends of both halves of a word, less the zero point of 8.
fn nibbles2(word: u32) -> vec2h {
  return vec2h(unpack2x16float((word & 0x000f000f) | 0x64006400)) - vec2h(1032);
}

fn one_row(word: u32, u: Unit) -> f32 {
  return f32(dot(nibbles2(word), u.a) + dot(nibbles2(word >> 8), u.b))
    + f32(dot(nibbles2(word >> 4), u.c) + dot(nibbles2(word >> 12), u.d));
}

fn four_rows(words: vec4u, u: Unit) -> vec4f {
  return vec4f(one_row(words.x, u), one_row(words.y, u), one_row(words.z, u), one_row(words.w, u));
}

fn products(expert: u32, row: u32, unit: u32, u: Unit) -> Rows8 {
  let at = block_at(expert, row) + unit * 2;
  let scale = scale_rows(scales8(expert, row, unit));
  return Rows8(scale.lo * four_rows(w[at], u), scale.hi * four_rows(w[at + 1], u));
}
