// Matrix product for many tokens: y[t,n] = Σ_c w[n,c] x[t,c], added to y or not
//
//   w [N, C] packed   x [T, C] f32   ->   y [T, N] f32
//
// grid (ceil(rows of the part / 128), ceil(T / 16)): a workgroup makes a tile of 16 tokens by 128 rows.
#import "lib/weights.wgsl"
#import "lib/tile.wgsl"
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

override ADD: u32;

struct Params {
  y_stride: u32, // floats a row of y
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(3) var<uniform> count: Count;
@group(0) @binding(4) var<storage, read> x: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // ADD = 1: the result is added

fn store(at: u32, value: f32) {
  if (ADD == 1) {
    y[at] += value;
  } else {
    y[at] = value;
  }
}

@compute @workgroup_size(TILE_THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) i: u32,
) {
  let row = group_index(group, groups) * TILE_W;
  if (row >= part.rows) {
    return;
  }
  let t = group.z * TILE_X;
  // Rows past the end repeat the last one; what they give is not stored.
  let x0 = min(t + i / 8, count.n - 1) * part.groups * 8;
  let x1 = min(t + i / 8 + 8, count.n - 1) * part.groups * 8;
  let near = row + i;
  let far = near + TILE_THREADS;
  let sums = tile_product(x0, x1, 0, min(near, part.rows - 1), min(far, part.rows - 1), i);
  for (var m = 0u; m < min(TILE_X, count.n - t); m++) {
    let at = (t + m) * p.y_stride + part.first_row;
    if (near < part.rows) {
      store(at + near, sums.near[m / 4][m % 4]);
    }
    if (far < part.rows) {
      store(at + far, sums.far[m / 4][m % 4]);
    }
  }
}
