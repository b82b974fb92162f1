// Matrix product for few tokens: y[t,n] = sum_c w[n,c] x[t,c], x normed first or not, a bias
// added or not, added to y or not
//
//   w [N, C] packed   x [T, C] f32   norm [C] f32   ->   y [T, N] f32
//
// grid (ceil(rows of the part / (8 THREADS / TEAM)), T): a team makes eight rows of one token.
#import "lib/matrix/matvec.wgsl"
#import "lib/matrix/norm_first.wgsl"
#import "lib/matrix/row_bias.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;
override TEAM: u32;
override AT_ONCE: u32;
override NORM: u32;
override ADD: u32;

struct Params {
  D: u32, // columns that the norm's mean is over
  eps: f32,
  y_stride: u32, // floats a row of y
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read> norm: array<vec4f>; // NORM = 1: the norm's weights
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // ADD = 1: the result is added

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let row = (group_index(group, groups) * (THREADS / TEAM) + lane.index / TEAM) * 8;
  let t = group.z;
  let sum = rows8(0, min(row, part.rows - 1), t, lane);
  let i = lane.index % TEAM;
  if (i < 8 && row + i < part.rows) {
    let at = t * p.y_stride + part.first_row + row + i;
    var value = row_of(sum, i);
    if (BIAS == 1) {
      value += bias_of(row + i);
    }
    if (ADD == 1) {
      value += y[at];
    }
    y[at] = value;
  }
}
