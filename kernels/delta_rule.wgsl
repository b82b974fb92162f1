// The gated delta rule: S := exp(g) S;  S := S + k (beta (v - S^T k))^T;  o = S^T q, row by row
//
//   qkv [T, 2 Hk dk + Hv dv] f32   factors [T, Hv] of delta_factors.wgsl
//   runs [n]: first row, rows, slot, 1 if it begins at position 0
//   state [slots, Hv, dk, dv] f32   ->   y [T, Hv dv], state
//
// grid (Hv * ceil(dv / 16), n): a workgroup takes 16 columns of a head's S, which do not meet the
// others, through all rows of a run, and keeps them in its memory. Of four invocations of a column
// each has every fourth row of S.
#import "lib/grid.wgsl"

override DK: u32;
override TILE: u32; // 16 DK

struct Params {
  key_heads: u32, // Hk
  value_heads: u32, // Hv
  dv: u32,
  stride: u32, // floats a row of qkv
  y_stride: u32,
  tiled: u32, // 1: value head h takes key head h mod Hk, else h / (Hv / Hk)
}

const COLUMNS = 16u;
const SLICES = 4u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> runs: array<vec4u>;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;
@group(0) @binding(3) var<storage, read> factors: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> state: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

var<workgroup> S: array<f32, TILE>;
var<workgroup> q: array<f32, DK>;
var<workgroup> k: array<f32, DK>;
var<workgroup> known: array<f32, 64>;
var<workgroup> answers: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let blocks = (p.dv + COLUMNS - 1) / COLUMNS;
  let head = group_index(group, groups) / blocks;
  if (head >= p.value_heads) {
    return;
  }
  let c = lane % COLUMNS;
  let slice = lane / COLUMNS;
  let column = group_index(group, groups) % blocks * COLUMNS + c;
  let inside = column < p.dv;
  let run = runs[group.z];
  let key = select(head / (p.value_heads / p.key_heads), head % p.key_heads, p.tiled == 1) * DK;
  let keys = p.key_heads * DK;
  let own = (run.z * p.value_heads + head) * DK * p.dv + column;
  for (var i = slice; i < DK; i += SLICES) {
    var s = 0.0;
    if (inside && run.w == 0) {
      s = state[own + i * p.dv];
    }
    S[i * COLUMNS + c] = s;
  }
  for (var t = run.x; t < run.x + run.y; t++) {
    let row = t * p.stride;
    let f = factors[t * p.value_heads + head];
    workgroupBarrier();
    for (var i = lane; i < DK; i += 64) {
      q[i] = qkv[row + key + i] * f.x;
      k[i] = qkv[row + keys + key + i] * f.y;
    }
    workgroupBarrier();
    var sum = 0.0;
    for (var i = slice; i < DK; i += SLICES) {
      let s = S[i * COLUMNS + c] * f.w;
      S[i * COLUMNS + c] = s;
      sum += s * k[i];
    }
    known[lane] = sum;
    workgroupBarrier();
    var v = 0.0;
    if (inside) {
      v = qkv[row + 2 * keys + head * p.dv + column];
    }
    let delta = f.z * (v - (known[c] + known[c + 16] + known[c + 32] + known[c + 48]));
    var answer = 0.0;
    for (var i = slice; i < DK; i += SLICES) {
      let s = S[i * COLUMNS + c] + k[i] * delta;
      S[i * COLUMNS + c] = s;
      answer += s * q[i];
    }
    answers[lane] = answer;
    workgroupBarrier();
    if (slice == 0 && inside) {
      y[t * p.y_stride + head * p.dv + column] = answers[c] + answers[c + 16] + answers[c + 32] + answers[c + 48];
    }
  }
  for (var i = slice; i < DK; i += SLICES) {
    if (inside) {
      state[own + i * p.dv] = S[i * COLUMNS + c];
    }
  }
}
