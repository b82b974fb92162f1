// Gathers the batch's output rows: y[r,:] = x[outputs[r],:]
//
//   x [T, D] f32   outputs [R] u32   ->   y [R, D] f32
//
// grid ceil(R * D / 4 / 64): an invocation copies four columns.
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

struct Params {
  vectors: u32, // vec4f a row, padding included
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> outputs: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * 64 + lane;
  if (i < count.n * p.vectors) {
    y[i] = x[outputs[i / p.vectors] * p.vectors + i % p.vectors];
  }
}
