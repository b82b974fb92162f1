// Expert gate and up for many tokens: y[s,f] = silu(w1[f,:] · x[t,:]) * (w3[f,:] · x[t,:]), s = t K + k, expert = ids[s]
//
//   w [E, 2F, D] packed, rows w1_0, w3_0, w1_1, w3_1, ...   x [T, D] f32   starts, sorted: slots by expert (group.wgsl)
//   ->   y [T K, F] f32
//
// grid (ceil(rows of the part / 128), tiles): a workgroup makes 16 slots of one expert by 64 outputs. The tiles of all
// experts are at most T K / 16 + E; surplus workgroups, and those whose expert is not in the part, do nothing.
#import "lib/weights.wgsl"
#import "lib/tile.wgsl"
#import "lib/expert_tile.wgsl"
#import "lib/silu.wgsl"
#import "lib/grid.wgsl"

struct Params {
  E: u32,
  K: u32,
  y_stride: u32, // floats a row of y
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> x: array<vec4f>;
@group(0) @binding(4) var<storage, read> starts: array<u32>;
@group(0) @binding(5) var<storage, read> sorted: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(TILE_THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) i: u32,
) {
  let row = group_index(group, groups) * TILE_W;
  let tile = expert_tile(group.z);
  let expert = tile.expert - part.first_expert; // wraps to a large number below the part
  if (row >= part.rows || tile.count == 0 || expert >= part.experts) {
    return;
  }
  let x0 = sorted[tile.first + min(i / 8, tile.count - 1)] / p.K * part.groups * 8;
  let x1 = sorted[tile.first + min(i / 8 + 8, tile.count - 1)] / p.K * part.groups * 8;
  // An invocation takes the w1 row and the w3 row of one output.
  let w1 = min(row + 2 * i, part.rows - 2);
  let sums = tile_product(x0, x1, expert, w1, w1 + 1, i);
  let f = row / 2 + i;
  if (f < part.rows / 2) {
    for (var m = 0u; m < tile.count; m++) {
      let at = sorted[tile.first + m] * p.y_stride + part.first_row / 2;
      y[at + f] = silu(sums.near[m / 4][m % 4]) * sums.far[m / 4][m % 4];
    }
  }
}
