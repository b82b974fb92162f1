// Expert down for many tokens: y[s,d] = w2[d,:] · x[s,:], expert = ids[s]
//
//   w [E, D, F] packed   x [T K, F] f32   starts, sorted: slots by expert (group.wgsl)   ->   y [T K, D] f32
//
// grid (ceil(rows of the part / 128), tiles): a workgroup makes 16 slots of one expert by 128 rows. The tiles of all
// experts are at most T K / 16 + E; surplus workgroups, and those whose expert is not in the part, do nothing.
#import "lib/weights.wgsl"
#import "lib/tile.wgsl"
#import "lib/expert_tile.wgsl"
#import "lib/grid.wgsl"

struct Params {
  E: u32,
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
  let x0 = sorted[tile.first + min(i / 8, tile.count - 1)] * part.groups * 8;
  let x1 = sorted[tile.first + min(i / 8 + 8, tile.count - 1)] * part.groups * 8;
  let near = row + i;
  let far = near + TILE_THREADS;
  let sums = tile_product(x0, x1, expert, min(near, part.rows - 1), min(far, part.rows - 1), i);
  for (var m = 0u; m < tile.count; m++) {
    let at = sorted[tile.first + m] * p.y_stride + part.first_row;
    if (near < part.rows) {
      y[at + near] = sums.near[m / 4][m % 4];
    }
    if (far < part.rows) {
      y[at + far] = sums.far[m / 4][m % 4];
    }
  }
}
