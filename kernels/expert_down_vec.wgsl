// Expert down for few tokens, all experts of a token at once:
// y[t,d] = sum_k weights[t,k] (w2[d,:] . x[t K + k,:]), added to y or not
//
//   w [E, D, F] packed   x [T K, F] f32 or int8   ids [T, K]   weights [T, K] f32
//   ->   y [T, D] f32
//
// grid (ceil(rows of the part / (8 THREADS / TEAM)), T): a team makes eight rows of one token over
// those of its experts that the part holds, SIDES of them side by side: each side of the team takes
// every SIDES-th choice, and the team's sum is over all of them. Parts after the first experts add
// to what those before them wrote.
#import "lib/matrix/matvec.wgsl"
#import "lib/matrix/no_norm.wgsl"
#import "lib/ffn/share_bias.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;
override TEAM: u32;
override AT_ONCE: u32;
override SIDES: u32; // divides TEAM
override ADD: u32;

struct Params {
  K: u32,
  y_stride: u32, // floats a row of y
  weights_at: u32, // where the weights start
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read> ids: array<u32>;
@group(0) @binding(5) var<storage, read> weights: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let row = (group_index(group, groups) * (THREADS / TEAM) + lane.index / TEAM) * 8;
  let t = group.z;
  let i = lane.index % TEAM;
  var sum = Sums();
  for (var k = i / (TEAM / SIDES); k < p.K; k += SIDES) {
    let assignment = t * p.K + k;
    let expert = ids[assignment] - part.first_expert; // wraps to a large number below the part
    if (expert < part.experts) {
      let weight = weights[p.weights_at + assignment];
      let last = part.rows - 1;
      sum = strided8(sum, weight, expert, min(row, last), assignment, i % (TEAM / SIDES), TEAM / SIDES);
    }
  }
  sum = team_sum(sum, lane);
  if (i < 8 && row + i < part.rows) {
    let at = t * p.y_stride + part.first_row + row + i;
    var value = with_biases(row_of(sum.rows, i), t, part.first_row + row + i);
    if (ADD == 1 || part.first_expert > 0) {
      value += y[at];
    }
    y[at] = value;
  }
}
