// Router: the K largest scores, softmax or sigmoid of the gate's logits, from all experts or from
// the best groups; or sparsemixer's two; equal: the lowest first; the rows that experts take; and
// the sigmoid that shared experts are weighed by
//
//   w [E, D] packed: the gate, with a bias of its own or none   x [T, D] f32   norm [D] f32   bias [E] f32
//   share [1, D] f32 in panels of eight rows: the gate of shared experts (SHARE 1)
//   ->   ids [T, K] u32   weights [T, K] f32, and at share_at the shared experts' [T]
//        y: the normed rows, [T, D] f32 (ROWS 1) or int8 (ROWS 2: quantize.wgsl); none (ROWS 0)
//
// weight = score * factor, divided by max(sum + added, least) over the K chosen if normalised; a
// score is exp(logit - max) / its sum over all E, or 1 / (1 + exp(-logit)), to which a bias is
// added to choose experts by. RULE 0: softmax without bias and floor, or sigmoid; 1: any score, and
// groups; 2: sparsemixer (route.ts has the formula).
//
// grid T: a workgroup owns a token. An expert's place is the number of those that come before it,
// in the order (value descending, id ascending).
#import "lib/matrix/matvec.wgsl"
#import "lib/matrix/norm_first.wgsl"
#import "lib/matrix/row_bias.wgsl"
#import "lib/matrix/quantize_row.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;
override TEAM: u32;
override NORM: u32;
override ROWS: u32;
override EXPERTS: u32; // E, the size of what the workgroup keeps; not less than the teams
override RULE: u32;
override SHARE: u32;

const AT_ONCE = 1u; // a unit of f32 weights is sixteen loads

struct Params {
  D: u32, // columns that the norm's mean is over
  eps: f32,
  K: u32,
  normalize: u32, // 1: the weights are divided by their sum
  sigmoid: u32, // 1: a score is a logit's sigmoid
  biased: u32, // 1: experts are chosen by score + bias
  by_score: u32, // 1: experts are chosen by scores, not by logits (RULE 1)
  groups: u32, // of experts; 1: all may be chosen (RULE 1)
  kept: u32, // of the groups
  by_two: u32, // 1: a group is as good as the sum of its best two
  added: f32, // to the sum
  least: f32, // that the sum is
  factor: f32,
  jitter: f32, // RULE 2
  share_at: u32, // SHARE 1
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read> norm: array<vec4f>; // NORM = 1: the norm's weights
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> ids: array<u32>;
@group(0) @binding(7) var<storage, read_write> weights: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<u32>;
@group(0) @binding(9) var<storage, read> share: array<vec4f>;

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

// The number of a word.
fn number_of(word: u32) -> f32 {
  return bitcast<f32>(word ^ select(0xffffffffu, 0x80000000u, word >> 31 == 1));
}

// What group g is chosen by: its best value, or the sum of its best two.
fn worth_of(g: u32) -> u32 {
  let size = part.rows / p.groups;
  var best = 0u;
  var second = 0u;
  for (var e = g * size; e < (g + 1) * size; e++) {
    let value = values[e];
    second = max(second, min(best, value));
    best = max(best, value);
  }
  if (p.by_two == 1 && size > 1) {
    return ordered(number_of(best) + number_of(second));
  }
  return best;
}

// How many groups come before g.
fn better_groups(g: u32) -> u32 {
  var before = 0u;
  for (var other = 0u; other < p.groups; other++) {
    before += select(0u, 1u, chosen[other] > chosen[g] || (chosen[other] == chosen[g] && other < g));
  }
  return before;
}

// What experts are chosen by where that is a score; leaves the least word to those of groups that
// are not kept. All invocations take part. Returns the largest logit and softmax's denominator.
fn choose_by(lane: u32) -> vec2f {
  let E = part.rows;
  var top = logits[0];
  for (var e = 1u; e < E; e++) {
    top = max(top, logits[e]);
  }
  var all = 1.0;
  if (p.sigmoid == 0) {
    all = 0;
    for (var e = 0u; e < E; e++) {
      all += exp(logits[e] - top);
    }
  }
  if (p.by_score == 1) {
    for (var e = lane; e < E; e += THREADS) {
      var value = score_of(logits[e], top) / all;
      if (p.biased == 1) {
        value += bias[e];
      }
      values[e] = ordered(value);
    }
    workgroupBarrier();
  }
  if (p.groups > 1) {
    for (var g = lane; g < p.groups; g += THREADS) {
      chosen[g] = worth_of(g);
    }
    workgroupBarrier();
    for (var e = lane; e < E; e += THREADS) {
      if (better_groups(e / (E / p.groups)) >= p.kept) {
        values[e] = 0;
      }
    }
    workgroupBarrier();
  }
  return vec2f(top, all);
}

// Sparsemixer's weight of the k-th of the chosen two.
fn mixed(k: u32) -> f32 {
  let top = logits[chosen[k]];
  var sum = 0.0;
  for (var e = 0u; e < part.rows; e++) {
    let logit = logits[e];
    let far = (top - logit) / max(abs(logit), top) > 2 * p.jitter;
    if (!far && (k == 0 || e != chosen[0])) {
      sum += exp(logit - top);
    }
  }
  return 1 / sum;
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

// Row t of x, before its norm's factor, times the gate of shared experts; by way of `chosen`.
// Contains barriers: call it in uniform control flow.
fn share_of(t: u32, lane: Lane) -> f32 {
  var sum = Sums();
  for (var c = lane.index; c < part.groups * 8; c += THREADS) {
    var value = x[t * part.groups * 8 + c];
    if (NORM == 1) {
      value *= norm[c];
    }
    sum.rows.lo += value * vec4f(share[c * 8].x, share[c * 8 + 2].x, share[c * 8 + 4].x, share[c * 8 + 6].x);
  }
  let four = team_sum(sum, lane).rows.lo;
  if (lane.index % TEAM == 0) {
    chosen[lane.index / TEAM] = bitcast<u32>(four.x + four.y + four.z + four.w);
  }
  workgroupBarrier();
  var all = 0.0;
  for (var team = 0u; team < THREADS / TEAM; team++) {
    all += bitcast<f32>(chosen[team]);
  }
  workgroupBarrier(); // others are chosen there
  return all;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let t = group_index(group, groups);
  let team = lane.index / TEAM;
  let i = lane.index % TEAM;
  let E = part.rows; // EXPERTS: software adapters unroll loops whose length is a constant
  var factor = 1.0;
  var share_logit = 0.0;
  if (SHARE == 1) {
    share_logit = share_of(t, lane);
  }
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
      if (RULE == 0 && p.biased == 1) {
        values[row + i] = ordered(score_of(logit, 0) + bias[row + i]);
      } else {
        values[row + i] = ordered(logit);
      }
    }
  }
  workgroupBarrier();
  if (SHARE == 1 && lane.index == 0) {
    weights[p.share_at + t] = 1 / (1 + exp(-share_logit * factor));
  }
  if (ROWS == 1) {
    store_row(t, factor, lane.index);
  } else if (ROWS == 2) {
    quantize_row(t, part.groups, factor, lane.index, THREADS);
  }
  var of_all = vec2f(0, 1);
  if (RULE == 1) {
    of_all = choose_by(lane.index);
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
  if (RULE == 2) {
    for (var k = lane.index; k < p.K; k += THREADS) {
      ids[t * p.K + k] = chosen[k];
      weights[t * p.K + k] = mixed(k);
    }
    return;
  }
  let top = select(logits[chosen[0]], of_all.x, RULE == 1);
  for (var e = lane.index; e < E; e += THREADS) {
    values[e] = bitcast<u32>(score_of(logits[e], top));
  }
  workgroupBarrier();
  var total = select(f32(p.sigmoid), of_all.y, RULE == 1);
  if (p.normalize == 1) {
    total = p.added * of_all.y;
    for (var k = 0u; k < p.K; k++) {
      total += bitcast<f32>(values[chosen[k]]);
    }
    total = max(total, p.least * of_all.y);
  } else if (RULE == 0 && p.sigmoid == 0) {
    for (var e = 0u; e < E; e++) {
      total += bitcast<f32>(values[e]);
    }
  }
  for (var k = lane.index; k < p.K; k += THREADS) {
    ids[t * p.K + k] = chosen[k];
    weights[t * p.K + k] = bitcast<f32>(values[chosen[k]]) / total * p.factor;
  }
}
