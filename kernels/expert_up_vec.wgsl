// Expert gate and up for few tokens: y[s,f] = silu(w1[f,:] . x[t,:]) * (w3[f,:] . x[t,:]),
// s = t K + k, expert = ids[s]
//
//   w [E, 2F, D] packed, rows w1_0, w3_0, w1_1, w3_1, ...
//   x [T, D] f32 or int8   ids [T K]
//   ->   y [T K, F], f32 or int8 as x
//
// grid (ceil(rows of the part / (8 THREADS / TEAM)), T K): a team makes four outputs of one
// assignment; nothing is made if the part lacks its expert. With int8 a workgroup makes 32 outputs,
// a group.
#import "lib/matrix/matvec.wgsl"
#import "lib/matrix/no_norm.wgsl"
#import "lib/matrix/expert_out.wgsl"
#import "lib/ffn/activation.wgsl"
#import "lib/ffn/vec_bias.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;
override TEAM: u32;
override AT_ONCE: u32;

struct Params {
  K: u32,
  y_stride: u32, // words a row of y
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read> ids: array<u32>;

// A name for the size: wgpu (naga 29) panics over a formula of overrides that are declared later.
override MADE: u32 = THREADS / TEAM * 4;
var<workgroup> made: array<f32, MADE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let first = group_index(group, groups) * (THREADS / TEAM) * 8;
  let assignment = group.z;
  let expert = ids[assignment] - part.first_expert; // wraps to a large number below the part
  if (first >= part.rows || expert >= part.experts) {
    return;
  }
  let team = lane.index / TEAM;
  let row = first + team * 8;
  let sum = rows8(expert, min(row, part.rows - 1), assignment / p.K, lane);
  let i = lane.index % TEAM;
  if (i < 4) {
    let at = part.first_row + row + i * 2;
    let gate = biased(row_of(sum, i * 2), assignment, at);
    let up = biased(row_of(sum, i * 2 + 1), assignment, at + 1);
    made[team * 4 + i] = select(0, gated(gate, up), row + i * 2 < part.rows);
  }
  workgroupBarrier();
  store_outputs(assignment, (part.first_row + first) / 2, (part.rows - first) / 2, lane.index);
}
