// RMSNorm: y[t,:] = x[t,:] / sqrt(mean(x[t,:]^2) + eps) * w
//
//   x [T, D] f32   w [D] f32   ->   y [T, D] f32
//
// grid T: a workgroup owns a row; invocations stride over its columns four at a time. Padding is
// zero and stays zero.
#import "lib/team/reduce.wgsl"
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;

struct Params {
  D: u32,
  vectors: u32, // vec4f a row, padding included
  eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> w: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let t = group_index(group, groups);
  if (t >= count.n) {
    return;
  }
  var squares = vec4f();
  for (var c = lane.index; c < p.vectors; c += THREADS) {
    let v = x[t * p.vectors + c];
    squares += v * v;
  }
  let sum = workgroup_sum(squares, lane);
  let scale = 1 / sqrt((sum.x + sum.y + sum.z + sum.w) / f32(p.D) + p.eps);
  for (var c = lane.index; c < p.vectors; c += THREADS) {
    y[t * p.vectors + c] = x[t * p.vectors + c] * scale * w[c];
  }
}
