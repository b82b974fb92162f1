// Eight rows of q8 weights by eight columns, in f16: a byte becomes a number by being the last bits of 1024.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"
#import "lib/matrix/scale_rows.wgsl"

// Every other byte of a word, less the zero point of 128.
fn bytes2(word: u32) -> vec2h {
  return vec2h(unpack2x16float((word & 0x00ff00ff) | 0x64006400)) - vec2h(1152);
}

// `a` holds a row's first four columns, `b` the other four. Products of q8 are large: each pair is summed by itself.
fn one_row(a: u32, b: u32, u: Unit) -> f32 {
  return f32(dot(bytes2(a), u.a)) + f32(dot(bytes2(a >> 8), u.b)) + f32(dot(bytes2(b), u.c)) + f32(dot(bytes2(b >> 8), u.d));
}

fn four_rows(a: vec4u, b: vec4u, u: Unit) -> vec4f {
  return vec4f(one_row(a.x, b.x, u), one_row(a.y, b.y, u), one_row(a.z, b.z, u), one_row(a.w, b.w, u));
}

fn products(expert: u32, row: u32, unit: u32, u: Unit) -> Rows8 {
  let at = block_at(expert, row) + unit * 4;
  let scale = scale_rows(scales8(expert, row, unit));
  return Rows8(scale.lo * four_rows(w[at], w[at + 2], u), scale.hi * four_rows(w[at + 1], w[at + 3], u));
}
