// Expert gate and up for few tokens an expert, each weight read once for all:
// y[s,f] = silu(w1[f,:] . x[t,:]) * (w3[f,:] . x[t,:]), s = t K + k, expert = ids[s]
//
//   w [E, 2F, D] packed, rows w1_0, w3_0, w1_1, w3_1, ...   x [T, D] f32 or int8
//   starts, sorted: assignments by expert (group.wgsl)
//   ->   y [T K, F], f32 or int8 as x
//
// grid (jobs, ceil(rows of the part / (FEW_ROWS TURNS THREADS / TEAM))): a team makes FEW_ROWS / 2
// outputs of up to TILE_X assignments of one expert, a job, TURNS times: with int8 a workgroup
// makes whole groups of 32 outputs. The jobs of all experts are at most T K / TILE_X + E; surplus
// workgroups, and those whose expert is not in the part, do nothing.
#import "lib/matrix/few_shape.wgsl"
#import "lib/matrix/expert_tile.wgsl"
#import "lib/matrix/few_out.wgsl"
#import "lib/ffn/activation.wgsl"
#import "lib/ffn/bias.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;
override TEAM: u32;
override TURNS: u32;

struct Params {
  E: u32,
  K: u32,
  y_stride: u32, // words a row of y
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read> starts: array<u32>;
@group(0) @binding(5) var<storage, read> sorted: array<u32>;

fn x_row(job: Job, m: u32) -> u32 {
  return sorted[job.first + m] / p.K;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let job = expert_job(group_index(group, groups), group.z * (THREADS / TEAM) * FEW_ROWS * TURNS);
  if (job.row >= part.rows || job.count == 0) {
    return;
  }
  for (var turn = 0u; turn < TURNS; turn++) {
    let row = job.row + (turn * (THREADS / TEAM) + lane.index / TEAM) * FEW_ROWS;
    make_sums(job, min(row, (part.rows - 1) / FEW_ROWS * FEW_ROWS), lane);
    for (var i = lane.index % TEAM; i < job.count * (FEW_ROWS / 2); i += TEAM) {
      let m = i / (FEW_ROWS / 2);
      let r = i % (FEW_ROWS / 2) * 2;
      let assignment = sorted[job.first + m];
      let at = part.first_row + row + r;
      let out = gated(biased(sum_of(m, r, lane), assignment, at), biased(sum_of(m, r + 1, lane), assignment, at + 1));
      put_output(job, m, row + r, out);
    }
    end_turn();
  }
  store_outputs(job, lane.index);
}
