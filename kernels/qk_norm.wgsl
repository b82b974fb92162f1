// RMSNorm of q and k between projection and RoPE, in place, run by run: x / sqrt(mean(x^2) +
// eps) * w
//
//   qkv [T, (H + 2 Hkv) Dh] f32   q_norm [q_size] f32   k_norm [k_size] f32   ->   qkv
//
// A run is a head, or all heads: as many values as the norm has weights.
// grid (q_runs + k_runs, T): a workgroup owns a run; its invocations stride over the values.
#import "lib/team/reduce.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;

struct Params {
  stride: u32, // floats a row of qkv
  q_runs: u32,
  q_size: u32,
  k_runs: u32,
  k_size: u32,
  eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q_norm: array<f32>;
@group(0) @binding(2) var<storage, read> k_norm: array<f32>;
@group(0) @binding(3) var<storage, read_write> qkv: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let run = group_index(group, groups);
  if (run >= p.q_runs + p.k_runs) {
    return;
  }
  let is_q = run < p.q_runs;
  let size = select(p.k_size, p.q_size, is_q);
  let first = select(p.q_runs * p.q_size + (run - p.q_runs) * p.k_size, run * p.q_size, is_q);
  let at = group.z * p.stride + first;
  var squares = 0.0;
  for (var i = lane.index; i < size; i += THREADS) {
    squares += qkv[at + i] * qkv[at + i];
  }
  let sum = workgroup_sum(vec4f(squares), lane).x;
  let scale = 1 / sqrt(sum / f32(size) + p.eps);
  for (var i = lane.index; i < size; i += THREADS) {
    let weight = select(k_norm[min(i, p.k_size - 1)], q_norm[min(i, p.q_size - 1)], is_q);
    qkv[at + i] = qkv[at + i] * scale * weight;
  }
}
