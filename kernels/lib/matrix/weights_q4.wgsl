// Weights held as 4 bits with an f16 scale a group of 32: a word is eight columns (order: kernels/formats/q4).
#import "lib/matrix/part.wgsl"
#import "lib/matrix/bytes.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

// Where the block of `row` starts, as an index of w; expert and row count from the part's first.
fn block_at(expert: u32, row: u32) -> u32 {
  return expert * (part.stride / 4) + row / 8 * (part.groups * 8);
}

// The scales of a block's eight rows for the group that `unit` is in.
fn scales8(expert: u32, row: u32, unit: u32) -> vec4u {
  return w[expert * (part.stride / 4) + part.scales / 4 + row / 8 * part.groups + unit / 4];
}

// Columns 8 unit .. 8 unit + 7 of a row.
fn weights8(expert: u32, row: u32, unit: u32) -> Eight {
  let word = w[block_at(expert, row) + unit * 2 + row / 4 % 2][row % 4];
  let scale = unpack2x16float(scales8(expert, row, unit)[row % 8 / 2])[row % 2];
  return Eight(scale * (bytes4(word & 0x0f0f0f0f) - 8), scale * (bytes4((word >> 4) & 0x0f0f0f0f) - 8));
}
