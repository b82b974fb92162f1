// Embedding: y[t,:] = table[id_t,:]
//
//   w [V, D] packed   ->   y [T, D] f32
//
// grid ceil(T * D / 8 / 64): an invocation copies 8 columns of one token. A table in several parts
// takes a dispatch a part; each writes only the tokens that it holds.
#import "lib/matrix/weights.wgsl"
#import "lib/step.wgsl"
#import "lib/token.wgsl"
#import "lib/grid.wgsl"

@group(0) @binding(2) var<uniform> count: Count;
@group(0) @binding(3) var<storage, read> step: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * 64 + lane;
  let t = i / (part.groups * 4);
  if (t >= count.n) {
    return;
  }
  let row = token_at(t).id - part.first_row; // wraps to a large number below the part
  if (row >= part.rows) {
    return;
  }
  let eight = weights8(0, row, i % (part.groups * 4));
  y[i * 2] = eight.lo;
  y[i * 2 + 1] = eight.hi;
}
