// Weights held as 16 bits: a word is two columns, numbers2() of the format.
#import "lib/matrix/part.wgsl"

const SPAN = 1u;

// Where the panel of `row` starts, as an index of w; expert and row count from the part's first.
fn panel_at(expert: u32, row: u32) -> u32 {
  return expert * part.stride + row / 8 * (part.groups * 32);
}

// Columns 8 unit .. 8 unit + 7 of a row.
fn weights8(expert: u32, row: u32, unit: u32) -> Eight {
  let at = panel_at(expert, row) + unit * 8 + row / 4 % 2;
  let lane = row % 4;
  return Eight(
    vec4f(numbers2(w[at][lane]), numbers2(w[at + 2][lane])),
    vec4f(numbers2(w[at + 4][lane]), numbers2(w[at + 6][lane])),
  );
}

// Columns 8 unit + 4 side .. 8 unit + 4 side + 3, a column each, of half a panel.
fn half4x4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> mat4x4f {
  let at = panel_at(expert, panel * 8) + unit * 8 + side * 4 + half;
  let p = w[at];
  let q = w[at + 2];
  return transpose(mat4x4f(
    vec4f(numbers2(p.x), numbers2(q.x)),
    vec4f(numbers2(p.y), numbers2(q.y)),
    vec4f(numbers2(p.z), numbers2(q.z)),
    vec4f(numbers2(p.w), numbers2(q.w)),
  ));
}
