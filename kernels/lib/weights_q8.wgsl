// Weights held as int8 with an f16 scale a group of 32: a unit of 8 weights is two words.
#import "lib/part.wgsl"
@group(0) @binding(0) var<storage, read> w: array<u32>;

// Four signed bytes of a word, lowest first.
fn bytes4(word: u32) -> vec4f {
  return vec4f(vec4i(vec4u(word) << vec4u(24, 16, 8, 0)) >> vec4u(24));
}

// Columns 8 unit .. 8 unit + 7 of a row; expert and row count from the part's first.
fn weights8(expert: u32, row: u32, unit: u32) -> Eight {
  let block = expert * part.stride;
  let at = block + row * (part.groups * 8) + unit * 2;
  let group = row * part.groups + unit / 4;
  let scale = unpack2x16float(w[block + part.scales + group / 2])[group % 2];
  return Eight(scale * bytes4(w[at]), scale * bytes4(w[at + 1]));
}
