// Expert down for many tokens: y[s,d] = w2[d,:] . x[s,:], expert = ids[s]
//
//   w [E, D, F] packed   x [T K, F] f32   starts, sorted: assignments by expert (group.wgsl)
//   ->   y [T K, D] f32
//
// grid (ceil(rows of the part / TILE_W), tiles): a workgroup makes TILE_X assignments of one expert
// by TILE_W rows. The tiles of all experts are at most T K / TILE_X + E; surplus workgroups, and
// those whose expert is not in the part, do nothing.
#import "lib/matrix/tile.wgsl"
#import "lib/matrix/expert_tile.wgsl"
#import "lib/ffn/bias.wgsl"
#import "lib/grid.wgsl"

struct Params {
  E: u32,
  y_stride: u32, // floats a row of y, whole groups of 32: rows that end within one have room for what pads them
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read> starts: array<u32>;
@group(0) @binding(5) var<storage, read> sorted: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<vec2f>;

fn x_row(job: Job, m: u32) -> u32 {
  return sorted[job.first + m];
}

fn store_pair(job: Job, m: u32, row: u32, values: vec2f) {
  let s = sorted[job.first + m];
  let at = part.first_row + row;
  y[(s * p.y_stride + at) / 2] = vec2f(biased(values.x, s, at), biased(values.y, s, at + 1));
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
