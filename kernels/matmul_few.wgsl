// Matrix product for few tokens, each weight read once for all: y[t,n] = sum_c w[n,c] x[t,c], a
// bias added or not, added to y or not
//
//   w [N, C] packed   x [T, C] f32 or int8   ->   y [T, N] f32
//
// grid ceil(rows of the part / (FEW_ROWS THREADS / TEAM)) ceil(T / TILE_X): a team makes FEW_ROWS
// rows of up to TILE_X tokens; where there are more, those of the same rows are side by side.
#import "lib/matrix/few_shape.wgsl"
#import "lib/matrix/row_bias.wgsl"
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;
override TEAM: u32;
override ADD: u32;

struct Params {
  y_stride: u32, // floats a row of y
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<uniform> count: Count;
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // ADD = 1: the result is added

fn x_row(job: Job, m: u32) -> u32 {
  return job.first + m;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let passes = (count.n + TILE_X - 1) / TILE_X;
  let index = group_index(group, groups);
  let block = index / passes * (THREADS / TEAM) * FEW_ROWS;
  let first = index % passes * TILE_X;
  if (block >= part.rows) {
    return;
  }
  let job = Job(0, block, first, min(TILE_X, count.n - first));
  let row = block + lane.index / TEAM * FEW_ROWS;
  make_sums(job, min(row, (part.rows - 1) / FEW_ROWS * FEW_ROWS), lane);
  for (var i = lane.index % TEAM; i < job.count * FEW_ROWS; i += TEAM) {
    let m = i / FEW_ROWS;
    let r = i % FEW_ROWS;
    if (row + r < part.rows) {
      let at = (first + m) * p.y_stride + part.first_row + row + r;
      var value = sum_of(m, r, lane);
      if (BIAS == 1) {
        value += bias_of(row + r);
      }
      if (ADD == 1) {
        value += y[at];
      }
      y[at] = value;
    }
  }
}
