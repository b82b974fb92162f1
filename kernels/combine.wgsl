// Weighted sum over a token's experts, in the order of its choices: y[t,:] = sum_k weights[t,k] x[t
// K + k,:], added to y or not
//
//   x [T K, D] f32   weights [T, K] f32   ->   y [T, D] f32
//
// grid ceil(T * D / 4 / 64): an invocation makes four columns of one token. A choice of weight 0
// may have no row in x: what lies there is not read, it may be NaN.
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

override ADD: u32;

struct Params {
  K: u32,
  vectors: u32, // vec4f a row, padding included
  weights_at: u32, // where the weights start
  width: u32, // D: what pads a row of x is no part of it
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>; // ADD = 1: the result is added

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * 64 + lane;
  let t = i / p.vectors;
  if (t >= count.n) {
    return;
  }
  var sum = vec4f();
  for (var k = 0u; k < p.K; k++) {
    let weight = weights[p.weights_at + t * p.K + k];
    if (weight != 0) {
      sum += weight * x[(t * p.K + k) * p.vectors + i % p.vectors];
    }
  }
  let first = i % p.vectors * 4;
  sum = select(vec4f(), sum, vec4u(first, first + 1, first + 2, first + 3) < vec4u(p.width));
  if (ADD == 1) {
    sum += y[i];
  }
  y[i] = sum;
}
