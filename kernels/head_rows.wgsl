// The first columns of each head as rows of their own: y[t H + h, c] = x[t, h each + c], zeros from
// `size` on
//
//   x [T, stride] f32   ->   y [T H, padded] f32
//
// grid ceil(T * H * padded / 64): an invocation copies a number.
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

struct Params {
  heads: u32, // H
  stride: u32, // floats a row of x
  each: u32, // from one head to the next
  size: u32, // that are copied of each
  padded: u32, // floats a row of y
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = group_index(group, groups) * 64 + lane;
  let row = index / p.padded;
  if (row >= count.n * p.heads) {
    return;
  }
  let c = index % p.padded;
  let real = c < p.size;
  let value = x[row / p.heads * p.stride + row % p.heads * p.each + select(0, c, real)];
  y[index] = select(0, value, real);
}
