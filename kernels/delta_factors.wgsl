// What the delta rule multiplies by: q's scale, k's, beta, exp(g), of each row and value head
//
//   qkv [T, 2 Hk dk + Hv dv] f32   gates [T, 2 Hv] f32: b, then a   a_log, dt_bias [Hv] f32
//   ->   factors [T, Hv]
//
// scales 1 / sqrt(sum of squares + 1e-6), q's also / sqrt(dk); beta = sigmoid(b);
// g = -exp(a_log) softplus(a + dt_bias).
//
// grid ceil(T * Hv / 64): an invocation makes one row's of a head.
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

struct Params {
  key_heads: u32, // Hk
  value_heads: u32, // Hv
  dk: u32,
  stride: u32, // floats a row of qkv
  gate_stride: u32,
  tiled: u32, // 1: value head h takes key head h mod Hk, else h / (Hv / Hk)
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;
@group(0) @binding(3) var<storage, read> gates: array<f32>;
@group(0) @binding(4) var<storage, read> a_log: array<f32>;
@group(0) @binding(5) var<storage, read> dt_bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> factors: array<vec4f>;

fn inverse_length(at: u32) -> f32 {
  var squares = 0.0;
  for (var i = 0u; i < p.dk; i++) {
    squares += qkv[at + i] * qkv[at + i];
  }
  return 1 / sqrt(squares + 1e-6);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * 64 + lane;
  let t = i / p.value_heads;
  if (t >= count.n) {
    return;
  }
  let head = i % p.value_heads;
  let key = select(head / (p.value_heads / p.key_heads), head % p.key_heads, p.tiled == 1);
  let q = t * p.stride + key * p.dk;
  let b = gates[t * p.gate_stride + head];
  let a = gates[t * p.gate_stride + p.value_heads + head] + dt_bias[head];
  // ln(1 + exp(a)) without what overflows, or is lost beside 1.
  let small = exp(-abs(a));
  let log1p = select(log(1 + small), small - small * small / 2, small < 1e-3);
  let softplus = max(a, 0) + log1p;
  factors[i] = vec4f(
    inverse_length(q) / sqrt(f32(p.dk)),
    inverse_length(q + p.key_heads * p.dk),
    1 / (1 + exp(-b)),
    exp(-exp(a_log[head]) * softplus),
  );
}
