// Expert down for few tokens, both experts at once:
// y[t,d] = sum_k weights[t,k] (w2[d,:] . x[t K + k,:]), added to y or not
//
//   w [E, D, F] packed   x [T K, F] f32 or int8   ids [T, K]   weights [T, K] f32
//   ->   y [T, D] f32
//
// grid (ceil(rows of the part / (8 THREADS / TEAM)), T): a team makes eight rows of one token over
// those of its experts that the part holds. Parts after the first experts add to what those before
// them wrote.
#import "lib/matrix/matvec.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;
override TEAM: u32;
override NORM: u32;
override ADD: u32;

struct Params {
  D: u32, // columns that a norm's mean would be over
  eps: f32,
  K: u32,
  y_stride: u32, // floats a row of y
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read> norm: array<vec4f>; // NORM = 1: a norm's weights
@group(0) @binding(5) var<storage, read> ids: array<u32>;
@group(0) @binding(6) var<storage, read> weights: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let row = (group_index(group, groups) * (THREADS / TEAM) + lane.index / TEAM) * 8;
  let t = group.z;
  let i = lane.index % TEAM;
  let mine = i < 8 && row + i < part.rows;
  let at = t * p.y_stride + part.first_row + row + i;
  var value = 0.0;
  if (mine && (ADD == 1 || part.first_expert > 0)) {
    value = y[at];
  }
  for (var k = 0u; k < p.K; k++) {
    let assignment = t * p.K + k;
    let expert = ids[assignment] - part.first_expert; // wraps to a large number below the part
    if (expert < part.experts) {
      value += weights[assignment] * row_of(rows8(expert, min(row, part.rows - 1), assignment, lane), i % 8);
    }
  }
  if (mine) {
    y[at] = value;
  }
}
