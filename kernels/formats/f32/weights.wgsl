// Weights held as f32: a word is one column.
#import "lib/matrix/part.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4f>;

const SPAN = 1u;

// Where the panel of `row` starts, as an index of w; expert and row count from the part's first.
fn panel_at(expert: u32, row: u32) -> u32 {
  return expert * part.stride + row / 8 * (part.groups * 64);
}

// Columns 8 unit .. 8 unit + 7 of a row.
fn weights8(expert: u32, row: u32, unit: u32) -> Eight {
  let at = panel_at(expert, row) + unit * 16 + row / 4 % 2;
  let lane = row % 4;
  return Eight(
    vec4f(w[at][lane], w[at + 2][lane], w[at + 4][lane], w[at + 6][lane]),
    vec4f(w[at + 8][lane], w[at + 10][lane], w[at + 12][lane], w[at + 14][lane]),
  );
}

// Columns 8 unit + 4 side .. 8 unit + 4 side + 3, a column each, of half a panel.
fn half4x4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> mat4x4f {
  let at = panel_at(expert, panel * 8) + unit * 16 + side * 8 + half;
  return mat4x4f(w[at], w[at + 2], w[at + 4], w[at + 6]);
}
