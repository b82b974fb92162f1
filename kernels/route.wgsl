// Router: softmax over the gate's logits, the K largest, renormalised; equal logits: the lowest expert first
//
//   logits [T, E] f32   ->   ids [T, K] u32   weights [T, K] f32
//
// The softmax's own denominator cancels: weight = exp(logit - max) / Σ over the K chosen.
// grid ceil(T / 64): an invocation owns a token. Each of K passes takes the largest logit after the one before it, in
// the order (logit descending, id ascending), so that nothing has to be remembered but the last choice.
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

struct Params {
  E: u32,
  K: u32,
  stride: u32, // floats a row of logits
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = group_index(group, groups) * 64 + lane;
  if (t >= count.n) {
    return;
  }
  var top = 0.0;
  var total = 0.0;
  var last = 0.0;
  var last_id = 0u;
  for (var k = 0u; k < p.K; k++) {
    var best = 0.0;
    var id = p.E; // none yet
    for (var e = 0u; e < p.E; e++) {
      let logit = logits[t * p.stride + e];
      let left = k == 0 || logit < last || (logit == last && e > last_id);
      if (left && (id == p.E || logit > best)) {
        best = logit;
        id = e;
      }
    }
    if (k == 0) {
      top = best;
    }
    last = best;
    last_id = id;
    total += exp(best - top);
    ids[t * p.K + k] = min(id, p.E - 1); // NaN logits find none: an id in range all the same
    weights[t * p.K + k] = exp(best - top);
  }
  for (var k = 0u; k < p.K; k++) {
    weights[t * p.K + k] /= total;
  }
}
