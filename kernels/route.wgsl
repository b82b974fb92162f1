// Router: y = softmax over the gate's logits, the K largest; equal logits: the lowest expert first
//
//   w [E, D] packed: the gate   x [T, D] f32   norm [D] f32
//   ->   ids [T, K] u32   weights [T, K] f32
//
// weight = exp(logit - max) / sum, over the K chosen where weights are to sum to 1, else over all
// E. grid T: a workgroup owns a token. Each of K passes takes the largest logit after the one
// before it, in the order (logit descending, id ascending), so that nothing has to be remembered
// but the last choice.
#import "lib/matrix/matvec.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;
override TEAM: u32;
override NORM: u32;

struct Params {
  D: u32, // columns that the norm's mean is over
  eps: f32,
  K: u32,
  normalize: u32, // 1: the weights sum to 1
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read> norm: array<vec4f>; // NORM = 1: the norm's weights
@group(0) @binding(5) var<storage, read_write> ids: array<u32>;
@group(0) @binding(6) var<storage, read_write> weights: array<f32>;

var<workgroup> logits: array<f32, 1024>; // the host refuses more experts

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let t = group_index(group, groups);
  let E = part.rows;
  for (var row = 0u; row < E; row += 8) {
    let sum = rows8(0, row, t, lane);
    if (lane.index < 8 && row + lane.index < E) {
      logits[row + lane.index] = row_of(sum, lane.index);
    }
  }
  workgroupBarrier();
  if (lane.index > 0) {
    return;
  }
  var top = 0.0;
  var total = 0.0;
  var last = 0.0;
  var last_id = 0u;
  for (var k = 0u; k < p.K; k++) {
    var best = 0.0;
    var id = E; // none yet
    for (var e = 0u; e < E; e++) {
      let logit = logits[e];
      let left = k == 0 || logit < last || (logit == last && e > last_id);
      if (left && (id == E || logit > best)) {
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
    ids[t * p.K + k] = min(id, E - 1); // NaN logits find none: an id in range all the same
    weights[t * p.K + k] = exp(best - top);
  }
  if (p.normalize == 0) {
    total = 0;
    for (var e = 0u; e < E; e++) {
      total += exp(logits[e] - top);
    }
  }
  for (var k = 0u; k < p.K; k++) {
    weights[t * p.K + k] /= total;
  }
}
