// Weights held as 4 bits with an f16 scale a group of 32: a unit of 8 weights is one word (order: src/tensor/pack.ts).
#import "lib/part.wgsl"
@group(0) @binding(0) var<storage, read> w: array<u32>;

// The low nibbles of a word's four bytes, lowest first, less the offset of 8.
fn nibbles4(word: u32) -> vec4f {
  return vec4f((vec4u(word) >> vec4u(0, 8, 16, 24)) & vec4u(15)) - 8;
}

// Columns 8 unit .. 8 unit + 7 of a row; expert and row count from the part's first.
fn weights8(expert: u32, row: u32, unit: u32) -> Eight {
  let block = expert * part.stride;
  let word = w[block + row * (part.groups * 4) + unit];
  let group = row * part.groups + unit / 4;
  let scale = unpack2x16float(w[block + part.scales + group / 2])[group % 2];
  return Eight(scale * nibbles4(word), scale * nibbles4(word >> 4));
}
