// RMSNorm run by run, times silu of a gate: x = x / sqrt(mean(x^2) + eps) * w * g sigmoid(g)
//
//   x [n, runs D] f32   g as x   w [D] f32   ->   x
//
// grid (runs, n): a workgroup owns a run of a row.
#import "lib/team/reduce.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;

struct Params {
  D: u32,
  runs: u32,
  stride: u32, // floats a row of x, and of g
  eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read> w: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let run = group_index(group, groups);
  if (run >= p.runs) {
    return;
  }
  let at = group.z * p.stride + run * p.D;
  var squares = 0.0;
  for (var i = lane.index; i < p.D; i += THREADS) {
    squares += x[at + i] * x[at + i];
  }
  let scale = 1 / sqrt(workgroup_sum(vec4f(squares), lane).x / f32(p.D) + p.eps);
  for (var i = lane.index; i < p.D; i += THREADS) {
    let gate = g[at + i];
    x[at + i] *= scale * w[i] * gate / (1 + exp(-gate));
  }
}
