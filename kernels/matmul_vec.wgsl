// Matrix product for few tokens: y[t,n] = Σ_c w[n,c] x[t,c]
//
//   w [N, C] packed   x [T, C] f32   ->   y [T, N] f32
//
// grid (ceil(rows of the part / 4), T): a workgroup makes four rows of one token; invocations stride over the columns.
#import "lib/weights.wgsl"
#import "lib/reduce.wgsl"
#import "lib/dot.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;

struct Params {
  y_stride: u32, // floats a row of y
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> x: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let row = group_index(group, groups) * 4;
  if (row >= part.rows) {
    return;
  }
  let t = group.z;
  let sum = dot4(0, row, t * part.groups * 8, lane);
  if (lane.index < min(4, part.rows - row)) {
    y[t * p.y_stride + part.first_row + row + lane.index] = sum[lane.index];
  }
}
