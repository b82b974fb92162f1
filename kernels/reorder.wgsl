// Columns in the order of a matrix's inputs: y[s,i] = x[t,order[e,i]], s = t K + k, e = ids[s] or 0
//
//   x [T, D] f32   order [E, D] u32   ids [T, K] u32   ->   y [T K, D] f32
//
// grid ceil(T * K * D / 64): an invocation copies one column.
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

override EXPERTS: u32; // 1: an order for each expert; 0: one order, and K is 1

struct Params {
  D: u32,
  K: u32,
  stride: u32, // floats a row of x and of y, padding included
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> order: array<u32>;
@group(0) @binding(4) var<storage, read> ids: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * 64 + lane;
  let s = i / p.D;
  if (s < count.n * p.K) {
    let expert = select(0, ids[s], EXPERTS == 1);
    let column = i % p.D;
    y[s * p.stride + column] = x[s / p.K * p.stride + order[expert * p.D + column]];
  }
}
