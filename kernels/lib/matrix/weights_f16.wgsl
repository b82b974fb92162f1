// Weights held as f16: a word is two columns. unpack2x16float needs no device feature.
#import "lib/matrix/part.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

// Where the block of `row` starts, as an index of w; expert and row count from the part's first.
fn block_at(expert: u32, row: u32) -> u32 {
  return expert * (part.stride / 4) + row / 8 * (part.groups * 32);
}

// Columns 8 unit .. 8 unit + 7 of a row.
fn weights8(expert: u32, row: u32, unit: u32) -> Eight {
  let at = block_at(expert, row) + unit * 8 + row / 4 % 2;
  let lane = row % 4;
  return Eight(
    vec4f(unpack2x16float(w[at][lane]), unpack2x16float(w[at + 2][lane])),
    vec4f(unpack2x16float(w[at + 4][lane]), unpack2x16float(w[at + 6][lane])),
  );
}
