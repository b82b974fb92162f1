// Projection of q, k and v for few tokens by two or three matrices, of formats of their own, side
// by side, with the norm in front and biases or none
//
//   w, w_second, w_third [rows, D] packed: some rows of the (H + 2 Hkv) Dh   x [T, D] f32   norm [D]
//   ->   y [T, (H + 2 Hkv) Dh] f32 as q | k | v
//
// grid (sum over the matrices of ceil(rows / (8 THREADS / TEAM)), T): a team makes eight rows of
// one matrix and token. `first_row` of a matrix counts from the first row of q.
#import "lib/matrix/matvec.wgsl"
#import "lib/matrix/norm_first.wgsl"
#import "lib/matrix/row_bias.wgsl"
#import "lib/matrix/biased_rows.wgsl" as second at 6
#import "lib/matrix/biased_rows.wgsl" as third at 8
#import "lib/grid.wgsl"

override THREADS: u32;
override TEAM: u32;
override AT_ONCE: u32;
override NORM: u32;
override PARTS: u32; // matrices, 2 or 3

struct Params {
  D: u32, // columns that the norm's mean is over
  eps: f32,
  y_stride: u32, // floats a row of y
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read> norm: array<vec4f>; // NORM = 1: the norm's weights
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

// Workgroups that make so many rows.
fn workgroups(rows: u32) -> u32 {
  let each = THREADS / TEAM * 8;
  return (rows + each - 1) / each;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let t = group.z;
  let i = lane.index % TEAM;
  let index = group_index(group, groups);
  let first = workgroups(part.rows);
  let second = first + workgroups(part_second.rows);
  let team = lane.index / TEAM;
  var row = 0u;
  var rows = 0u; // of the matrix
  var at = 0u; // its first row in y
  var value = 0.0;
  if (index < first) {
    row = (index * (THREADS / TEAM) + team) * 8;
    rows = part.rows;
    at = part.first_row;
    let sum = rows8(0, min(row, rows - 1), t, lane);
    value = row_of(sum, i % 8);
    if (BIAS == 1) {
      value += bias_of(min(row + i % 8, rows - 1));
    }
  } else if (PARTS == 2 || index < second) {
    row = ((index - first) * (THREADS / TEAM) + team) * 8;
    rows = part_second.rows;
    at = part_second.first_row;
    let sum = rows8_second(0, min(row, rows - 1), t, lane);
    value = row_of(sum, i % 8);
    if (BIAS_second == 1) {
      value += bias_of_second(min(row + i % 8, rows - 1));
    }
  } else {
    row = ((index - second) * (THREADS / TEAM) + team) * 8;
    rows = part_third.rows;
    at = part_third.first_row;
    let sum = rows8_third(0, min(row, rows - 1), t, lane);
    value = row_of(sum, i % 8);
    if (BIAS_third == 1) {
      value += bias_of_third(min(row + i % 8, rows - 1));
    }
  }
  if (i < 8 && row + i < rows) {
    y[t * p.y_stride + at + row + i] = value;
  }
}
