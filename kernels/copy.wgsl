// Copy: y = x. Also the yardstick of bandwidth: a profile gives each kernel's bytes a second as a
// share of this one's.
//
//   x [n] vec4u   ->   y
//
// grid ceil(n / 1024): an invocation copies four vectors that lie 256 apart, so that neighbours
// read neighbours.
#import "lib/grid.wgsl"

struct Params {
  vectors: u32, // n
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4u>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = group_index(group, groups) * 1024 + lane;
  for (var i = first; i < min(first + 1024, p.vectors); i += 256) {
    y[i] = x[i];
  }
}
