// Expert gate and up for many tokens: y[s,f] = silu(w1[f,:] . x[t,:]) * (w3[f,:] . x[t,:]),
// s = t K + k, expert = ids[s]
//
//   w [E, 2F, D] packed, rows w1_0, w3_0, w1_1, w3_1, ...   x [T, D] f32
//   starts, sorted: assignments by expert (group.wgsl)
//   ->   y [T K, F] f32
//
// grid (ceil(rows of the part / TILE_W), tiles): a workgroup makes TILE_X assignments of one expert
// by TILE_W / 2 outputs. The tiles of all experts are at most T K / TILE_X + E; surplus workgroups,
// and those whose expert is not in the part, do nothing.
#import "lib/matrix/tile.wgsl"
#import "lib/matrix/expert_tile.wgsl"
#import "lib/ffn/activation.wgsl"
#import "lib/ffn/bias.wgsl"
#import "lib/grid.wgsl"

struct Params {
  E: u32,
  K: u32,
  y_stride: u32, // floats a row of y, whole groups of 32: rows that end within one have room for what pads them
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read> starts: array<u32>;
@group(0) @binding(5) var<storage, read> sorted: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

fn x_row(job: Job, m: u32) -> u32 {
  return sorted[job.first + m] / p.K;
}

// The w1 row and the w3 row of one output.
fn store_pair(job: Job, m: u32, row: u32, values: vec2f) {
  let assignment = sorted[job.first + m];
  let at = part.first_row + row;
  y[assignment * p.y_stride + at / 2] =
    gated(biased(values.x, assignment, at), biased(values.y, assignment, at + 1));
}

@compute @workgroup_size(TILE_THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) i: u32,
) {
  let job = expert_job(group.z, group_index(group, groups) * TILE_W);
  if (job.row < part.rows && job.count > 0) {
    make_tile(job, i);
  }
}
