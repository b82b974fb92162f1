// Matrix product for many tokens: y[t,n] = Σ_c w[n,c] x[t,c]
//
//   w [N, C] packed   x [T, C] f32   ->   y [T, N] f32
//
// grid (ceil(rows of the part / 64), ceil(T / 32)): a workgroup makes a tile of 32 tokens by 64 rows.
#import "lib/weights.wgsl"
#import "lib/tile.wgsl"
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

struct Params {
  y_stride: u32, // floats a row of y
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(3) var<uniform> count: Count;
@group(0) @binding(4) var<storage, read> x: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

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
  let x1 = min(t + i / 8 + 16, count.n - 1) * part.groups * 8;
  let w0 = min(row + i / 4, part.rows - 1);
  let w1 = min(row + i / 4 + 32, part.rows - 1);
  var sum = tile_product(x0, x1, 0, w0, w1, i);
  for (var a = 0u; a < 4; a++) {
    let token = t + i / 16 + 8 * a;
    for (var b = 0u; b < 4; b++) {
      let n = row + i % 16 + 16 * b;
      if (token < count.n && n < part.rows) {
        y[token * p.y_stride + part.first_row + n] = sum[a][b];
      }
    }
  }
}
