// Weights held as E4M3 with an f32 scale for every 128 columns (f8.ts): a word is four columns.
#import "lib/matrix/part.wgsl"
#import "lib/matrix/super_groups.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 1u;

// Where columns 8 unit .. 8 unit + 3 of a panel's first four rows lie; the next four columns are
// two further on.
fn word_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + panel * (super_groups() * 128) + unit * 4;
}

// The scales of four rows, for numbers4().
fn scales4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  let at = expert * part.stride + part.planes.y + panel * (super_groups() * 4) + unit / 16 * 2 + half;
  return 256 * bitcast<vec4f>(w[at]);
}

// Four columns of a row, divided by 256: with their bits where f16 has them, whose bias is 8 more.
fn numbers4(word: u32) -> vec4f {
  let even = unpack2x16float(((word & 0x00800080) << 8) | ((word & 0x007f007f) << 7));
  let odd = unpack2x16float((word & 0x80008000) | ((word & 0x7f007f00) >> 1));
  return vec4f(even.x, odd.x, even.y, odd.y);
}

// Columns 8 unit .. 8 unit + 7 of a row.
fn weights8(expert: u32, row: u32, unit: u32) -> Eight {
  let scale = scales4(expert, row / 8, row / 4 % 2, unit)[row % 4];
  let at = word_at(expert, row / 8, unit) + row / 4 % 2;
  return Eight(scale * numbers4(w[at][row % 4]), scale * numbers4(w[at + 2][row % 4]));
}

// Columns 8 unit + 4 side .. 8 unit + 4 side + 3, a column each, of half a panel.
fn half4x4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> mat4x4f {
  let scales = scales4(expert, panel, half, unit);
  let words = w[word_at(expert, panel, unit) + side * 2 + half];
  return transpose(mat4x4f(
    scales.x * numbers4(words.x),
    scales.y * numbers4(words.y),
    scales.z * numbers4(words.z),
    scales.w * numbers4(words.w),
  ));
}
