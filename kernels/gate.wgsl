// What a layer's result is gated by: x *= sigmoid(g)
//
//   x [n, D] f32   g [n, D] f32   ->   x
//
// grid ceil(n * D / 4 / 64): an invocation has four columns.
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

struct Params {
  vectors: u32, // vec4f a row, padding included
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> g: array<vec4f>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * 64 + lane;
  if (i < count.n * p.vectors) {
    x[i] /= 1 + exp(-g[i]);
  }
}
