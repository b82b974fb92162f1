// Router: the K largest scores, softmax or sigmoid of the gate's logits; equal: the
// lowest expert first
//
//   w [E, D] packed: the gate   x [T, D] f32   norm [D] f32   bias [E] f32
//   ->   ids [T, K] u32   weights [T, K] f32
//
// weight = score / sum, over the K chosen where weights are to sum to 1; a score is
// exp(logit - max) / its sum over all E, or 1 / (1 + exp(-logit)), to which a bias is added
// to choose experts by.
//
// grid T: a workgroup owns a token. Each of K passes takes the largest after the one before
// it, in the order (value descending, id ascending), so that nothing has to be remembered but
// the last choice.
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
  sigmoid: u32, // 1: a score is a logit's sigmoid
  biased: u32, // 1: experts are chosen by sigmoid + bias
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read> norm: array<vec4f>; // NORM = 1: the norm's weights
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> ids: array<u32>;
@group(0) @binding(7) var<storage, read_write> weights: array<f32>;

var<workgroup> logits: array<f32, 1024>; // the host refuses more experts
var<workgroup> sums: array<f32, 1024>; // sigmoid + bias

// A score, but for softmax's denominator.
fn score_of(logit: f32, top: f32) -> f32 {
  if (p.sigmoid == 1) {
    return 1 / (1 + exp(-logit));
  }
  return exp(logit - top);
}

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
  if (p.biased == 1) {
    for (var e = lane.index; e < E; e += THREADS) {
      sums[e] = score_of(logits[e], 0) + bias[e];
    }
    workgroupBarrier();
  }
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
      var value = logits[e];
      if (p.biased == 1) {
        value = sums[e];
      }
      let left = k == 0 || value < last || (value == last && e > last_id);
      if (left && (id == E || value > best)) {
        best = value;
        id = e;
      }
    }
    if (k == 0) {
      top = best;
    }
    last = best;
    last_id = id;
    id = min(id, E - 1); // NaN logits find none: an id in range all the same
    let score = score_of(logits[id], top);
    total += score;
    ids[t * p.K + k] = id;
    weights[t * p.K + k] = score;
  }
  if (p.normalize == 0) {
    total = f32(p.sigmoid);
    for (var e = 0u; e < E && p.sigmoid == 0; e++) {
      total += exp(logits[e] - top);
    }
  }
  total = max(total, 1e-20); // without any score the weights are 0 and not NaN
  for (var k = 0u; k < p.K; k++) {
    weights[t * p.K + k] /= total;
  }
}
