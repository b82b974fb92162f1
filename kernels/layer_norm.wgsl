// LayerNorm: y[t,:] = (x[t,:] - mean(x[t,:])) / sqrt(mean((x[t,:] - mean(x[t,:]))^2) + eps) * w + b
//
//   x [T, D] f32   w, b [D] f32   ->   y [T, D] f32
//
// grid T: a workgroup owns a row; invocations stride over its columns four at a time. Padding is
// zero, is left out of the sums, and stays zero.
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
@group(0) @binding(4) var<storage, read> b: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;

// Four columns of row t without the mean; 0 in padding.
fn off(t: u32, c: u32, mean: f32) -> vec4f {
  return select(vec4f(), x[t * p.vectors + c] - mean, vec4u(c * 4) + vec4u(0, 1, 2, 3) < vec4u(p.D));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let t = group_index(group, groups);
  if (t >= count.n) {
    return;
  }
  var sums = vec4f();
  for (var c = lane.index; c < p.vectors; c += THREADS) {
    sums += x[t * p.vectors + c];
  }
  let mean = dot(workgroup_sum(sums, lane), vec4f(1)) / f32(p.D);
  var squares = vec4f();
  for (var c = lane.index; c < p.vectors; c += THREADS) {
    let v = off(t, c, mean);
    squares += v * v;
  }
  let scale = 1 / sqrt(dot(workgroup_sum(squares, lane), vec4f(1)) / f32(p.D) + p.eps);
  for (var c = lane.index; c < p.vectors; c += THREADS) {
    y[t * p.vectors + c] = off(t, c, mean) * scale * w[c] + b[c];
  }
}
