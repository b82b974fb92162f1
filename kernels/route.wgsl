// Router: the K largest scores, softmax or sigmoid of the gate's logits; equal: the
// lowest expert first; and the rows that the experts take
//
//   w [E, D] packed: the gate, with a bias of its own or none   x [T, D] f32   norm [D] f32   bias [E] f32
//   ->   ids [T, K] u32   weights [T, K] f32
//        y: the normed rows, [T, D] f32 (ROWS 1) or int8 (ROWS 2: quantize.wgsl); none (ROWS 0)
//
// weight = score / sum, over the K chosen where weights are to sum to 1; a score is
// exp(logit - max) / its sum over all E, or 1 / (1 + exp(-logit)), to which a bias is added
// to choose experts by.
//
// grid T: a workgroup owns a token. An expert's place is the number of those that come before it,
// in the order (value descending, id ascending).
#import "lib/matrix/matvec.wgsl"
#import "lib/matrix/norm_first.wgsl"
#import "lib/matrix/bias.wgsl"
#import "lib/matrix/quantize_row.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;
override TEAM: u32;
override NORM: u32;
override ROWS: u32;
override EXPERTS: u32; // E, the size of what the workgroup keeps

const AT_ONCE = 1u; // a unit of f32 weights is sixteen loads

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
@group(0) @binding(8) var<storage, read_write> y: array<u32>;

var<workgroup> logits: array<f32, EXPERTS>;
// what experts are chosen by, as words that compare as the numbers do; at the end the scores
var<workgroup> values: array<u32, EXPERTS>;
var<workgroup> chosen: array<u32, EXPERTS>; // the first K are

// A score, but for softmax's denominator.
fn score_of(logit: f32, top: f32) -> f32 {
  if (p.sigmoid == 1) {
    return 1 / (1 + exp(-logit));
  }
  return exp(logit - top);
}

// Words in the order of the numbers. NaN has a place too, so that there are always K experts.
fn ordered(value: f32) -> u32 {
  let bits = bitcast<u32>(select(value, 0, value == 0)); // -0 is 0
  return bits ^ select(0x80000000u, 0xffffffffu, bits >> 31 == 1);
}

// Row t of x, normed, for the experts.
fn store_row(t: u32, factor: f32, lane: u32) {
  let start = t * part.groups * 8;
  for (var c = lane; c < part.groups * 8; c += THREADS) {
    var value = x[start + c] * factor;
    if (NORM == 1) {
      value *= norm[c];
    }
    for (var i = 0u; i < 4; i++) {
      y[(start + c) * 4 + i] = bitcast<u32>(value[i]);
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let t = group_index(group, groups);
  let team = lane.index / TEAM;
  let i = lane.index % TEAM;
  let E = part.rows; // EXPERTS: software adapters unroll loops whose length is a constant
  var factor = 1.0;
  for (var first = 0u; first < E; first += THREADS / TEAM * 8) {
    let row = first + team * 8;
    let sum = sums8(0, min(row, (E - 1) / 8 * 8), t, lane);
    factor = norm_factor(sum.squares);
    if (i < 8 && row + i < E) {
      var logit = row_of(sum.rows, i) * factor;
      if (BIAS == 1) {
        logit += bias_of(row + i);
      }
      logits[row + i] = logit;
      if (p.biased == 1) {
        values[row + i] = ordered(score_of(logit, 0) + bias[row + i]);
      } else {
        values[row + i] = ordered(logit);
      }
    }
  }
  workgroupBarrier();
  if (ROWS == 1) {
    store_row(t, factor, lane.index);
  } else if (ROWS == 2) {
    quantize_row(t, part.groups, factor, lane.index, THREADS);
  }
  for (var e = lane.index; e < E; e += THREADS) {
    let own = values[e];
    var before = 0u;
    for (var other = 0u; other < E; other++) {
      let value = values[other];
      before += select(0u, 1u, value > own || (value == own && other < e));
    }
    chosen[before] = e;
  }
  workgroupBarrier();
  let top = logits[chosen[0]];
  for (var e = lane.index; e < E; e += THREADS) {
    values[e] = bitcast<u32>(score_of(logits[e], top));
  }
  workgroupBarrier();
  var total = f32(p.sigmoid);
  if (p.normalize == 1) {
    total = 0;
    for (var k = 0u; k < p.K; k++) {
      total += bitcast<f32>(values[chosen[k]]);
    }
  } else if (p.sigmoid == 0) {
    for (var e = 0u; e < E; e++) {
      total += bitcast<f32>(values[e]);
    }
  }
  total = max(total, 1e-20); // without any score the weights are 0 and not NaN
  for (var k = lane.index; k < p.K; k += THREADS) {
    ids[t * p.K + k] = chosen[k];
    weights[t * p.K + k] = bitcast<f32>(values[chosen[k]]) / total;
  }
}
