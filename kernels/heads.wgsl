// Each head's own product: y[t,h,n] = sum_c w[h,n,c] x[t,h,c]
//
//   w [H, N, C] packed   x [T H, C] f32   ->   y [T, H, N] f32, a head from each `y_each` floats on
//
// grid (H ceil(T / TILE_X), ceil(rows of the part / (FEW_ROWS THREADS / TEAM))): a team makes
// FEW_ROWS rows of one head for up to TILE_X tokens. Workgroups whose head is not in the part do
// nothing.
#import "lib/matrix/few_shape.wgsl"
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;
override TEAM: u32;

struct Params {
  heads: u32, // H
  y_stride: u32, // floats a row of y
  y_each: u32,
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<uniform> count: Count;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

fn x_row(job: Job, m: u32) -> u32 {
  return (job.first + m) * p.heads + part.first_expert + job.expert;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let index = group_index(group, groups);
  let passes = (count.n + TILE_X - 1) / TILE_X;
  let head = index / passes;
  let first = index % passes * TILE_X;
  let block = group.z * (THREADS / TEAM) * FEW_ROWS;
  let own = head - part.first_expert; // wraps to a large number below the part
  if (head >= p.heads || own >= part.experts || block >= part.rows) {
    return;
  }
  let job = Job(own, block, first, min(TILE_X, count.n - first));
  let row = block + lane.index / TEAM * FEW_ROWS;
  make_sums(job, min(row, (part.rows - 1) / FEW_ROWS * FEW_ROWS), lane);
  for (var i = lane.index % TEAM; i < job.count * FEW_ROWS; i += TEAM) {
    let m = i / FEW_ROWS;
    let r = i % FEW_ROWS;
    if (row + r < part.rows) {
      y[(first + m) * p.y_stride + head * p.y_each + part.first_row + row + r] = sum_of(m, r, lane);
    }
  }
}
