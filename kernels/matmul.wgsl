// Matrix product for many tokens: y[t,n] = sum_c w[n,c] x[t,c], a bias added or
// not, added to y or not
//
//   w [N, C] packed   x [T, C] f32   ->   y [T, N] f32
//
// grid (ceil(rows of the part / TILE_W), ceil(T / TILE_X)): a workgroup makes a tile of TILE_X
// tokens by TILE_W rows.
#import "lib/matrix/tile.wgsl"
#import "lib/matrix/row_bias.wgsl"
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

override ADD: u32;

struct Params {
  y_stride: u32, // floats a row of y, whole groups of 32: rows that end within one have room for what pads them
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<uniform> count: Count;
@group(0) @binding(5) var<storage, read_write> y: array<vec2f>; // ADD = 1: the result is added

fn x_row(job: Job, m: u32) -> u32 {
  return job.first + m;
}

fn store_pair(job: Job, m: u32, row: u32, values: vec2f) {
  let at = ((job.first + m) * p.y_stride + part.first_row + row) / 2;
  var sums = values;
  if (BIAS == 1) {
    sums += vec2f(bias_of(row), bias_of(row + 1));
  }
  if (ADD == 1) {
    y[at] += sums;
  } else {
    y[at] = sums;
  }
}

@compute @workgroup_size(TILE_THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) i: u32,
) {
  let row = group_index(group, groups) * TILE_W;
  let first = group.z * TILE_X;
  if (row >= part.rows || first >= count.n) {
    return;
  }
  make_tile(Job(0, row, first, min(TILE_X, count.n - first)), i);
}
