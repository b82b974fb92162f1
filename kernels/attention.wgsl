// Attention over the cached positions: y[t,h,:] = softmax(q[t,h,:] · keysᵀ / sqrt(Dh)) values, causal, grouped heads
//
//   qkv [T, (H + 2 Hkv) Dh] f32   keys, values: paged, f16 or f32   runs   ->   y [T, H Dh] f32
//
// grid (Hkv * ceil(G / 8), runs), G = H / Hkv: a workgroup owns 8 queries that read the same keys: the heads of one
// key/value head (8 of them, if there are more) for the tokens of a run, which follow each other in one sequence. It takes
// KEYS positions at a time: an invocation scores whole positions, then owns a pair of output dimensions; maxima and sums
// are carried along (online softmax), so that any length fits. THREADS is at least Dh / 2.
#import "lib/reduce.wgsl"
#import "lib/kv.wgsl"
#import "lib/paged.wgsl"
#import "lib/token.wgsl"

override THREADS: u32;

struct Params {
  block: u32, // positions a block
  heads: u32, // H
  kv_heads: u32, // Hkv
  pairs: u32, // Dh / 2
  window: u32, // positions seen, the token's own included; 0 sees every earlier one
  scale: f32, // 1 / sqrt(Dh)
  stride: u32, // floats a row of qkv
  y_stride: u32, // floats a row of y
}

// Tokens `first` .. `first + count - 1`, at positions one after another.
struct Run {
  first: u32,
  count: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> runs: array<Run>;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read> qkv: array<f32>;
@group(0) @binding(4) var<storage, read> keys: array<KvPair>;
@group(0) @binding(5) var<storage, read> values: array<KvPair>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

const QUERIES = 8u;
const KEYS = 128u;
const MASKED = -3.0e38;

// Queries 0..3 and 4..7 of a pair of dimensions (x, y), scaled by 1 / sqrt(Dh).
struct QueryPair {
  x0: vec4f,
  x4: vec4f,
  y0: vec4f,
  y4: vec4f,
}
struct Scores {
  q0: vec4f,
  q4: vec4f,
}
var<workgroup> query: array<QueryPair, THREADS>;
var<workgroup> weight: array<Scores, KEYS>; // scores of the positions in hand, then exp(score - max)
var<workgroup> place: array<u32, KEYS>; // where those positions lie

// Which token of the run and which head query q is: (token, head), or (count, _) if there is no such query.
fn query_of(q: u32, run: Run, group: u32) -> vec2u {
  let heads_each = p.heads / p.kv_heads;
  let chunks = (heads_each + QUERIES - 1) / QUERIES;
  let abreast = min(heads_each, QUERIES);
  let in_group = group % chunks * QUERIES + q % abreast;
  return vec2u(select(run.count, q / abreast, in_group < heads_each), group / chunks * heads_each + in_group);
}

fn query_value(q: u32, dimension: u32, run: Run, group: u32) -> f32 {
  let which = query_of(q, run, group);
  if (which.x >= run.count) {
    return 0;
  }
  return qkv[(run.first + which.x) * p.stride + which.y * p.pairs * 2 + dimension] * p.scale;
}

fn query_values(q: u32, dimension: u32, run: Run, group: u32) -> vec4f {
  return vec4f(
    query_value(q, dimension, run, group),
    query_value(q + 1, dimension, run, group),
    query_value(q + 2, dimension, run, group),
    query_value(q + 3, dimension, run, group),
  );
}

// Positions of queries q .. q + 3; 0 where there is no query, whose results are not stored.
fn query_positions(q: u32, position: u32, run: Run, group: u32) -> vec4u {
  return vec4u(position) + vec4u(
    query_of(q, run, group).x,
    query_of(q + 1, run, group).x,
    query_of(q + 2, run, group).x,
    query_of(q + 3, run, group).x,
  );
}

// Scores of a key for the queries that see it: key j is seen from position i iff 0 <= i - j < window.
fn mask(scores: vec4f, position_of: vec4u, position: u32) -> vec4f {
  let window = select(0xffffffffu, p.window, p.window > 0);
  return select(vec4f(MASKED), scores, (position_of - vec4u(position) < vec4u(window)) & (vec4u(position) <= position_of));
}

fn store(q: u32, pair: u32, run: Run, group: u32, x: f32, y_value: f32) {
  let which = query_of(q, run, group);
  if (which.x < run.count) {
    let at = (run.first + which.x) * p.y_stride + (which.y * p.pairs + pair) * 2;
    y[at] = x;
    y[at + 1] = y_value;
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, lane: Lane) {
  let run = runs[workgroup.z];
  let group = workgroup.x;
  let kv_head = query_of(0, run, group).y * p.kv_heads / p.heads;
  let token = token_at(run.first);
  let end = token.position + run.count;
  let begin = select(0, token.position + 1 - min(token.position + 1, p.window), p.window > 0);
  let from0 = query_positions(0, token.position, run, group);
  let from4 = query_positions(4, token.position, run, group);
  let pair = lane.index;
  if (pair < p.pairs) {
    query[pair] = QueryPair(
      query_values(0, pair * 2, run, group),
      query_values(4, pair * 2, run, group),
      query_values(0, pair * 2 + 1, run, group),
      query_values(4, pair * 2 + 1, run, group),
    );
  }
  workgroupBarrier();

  var top = Scores(vec4f(MASKED), vec4f(MASKED));
  var total = Scores();
  var out = QueryPair();
  for (var first = begin; first < end; first += KEYS) {
    let here = min(KEYS, end - first);
    var best = top;
    for (var k = lane.index; k < here; k += THREADS) {
      let at = kv_at(token.table, first + k, kv_head);
      var scores = Scores();
      for (var i = 0u; i < p.pairs; i++) {
        let key = kv_unpack(keys[at + i]);
        let q = query[i];
        scores.q0 += q.x0 * key.x + q.y0 * key.y;
        scores.q4 += q.x4 * key.x + q.y4 * key.y;
      }
      scores.q0 = mask(scores.q0, from0, first + k);
      scores.q4 = mask(scores.q4, from4, first + k);
      best.q0 = max(best.q0, scores.q0);
      best.q4 = max(best.q4, scores.q4);
      weight[k] = scores;
      place[k] = at;
    }
    best.q0 = workgroup_max(best.q0, lane);
    best.q4 = workgroup_max(best.q4, lane);
    let fade = Scores(exp(top.q0 - best.q0), exp(top.q4 - best.q4));
    top = best;
    total.q0 *= fade.q0;
    total.q4 *= fade.q4;
    for (var k = lane.index; k < here; k += THREADS) {
      let scores = weight[k];
      let own = Scores(
        select(vec4f(), exp(scores.q0 - top.q0), scores.q0 > vec4f(MASKED)),
        select(vec4f(), exp(scores.q4 - top.q4), scores.q4 > vec4f(MASKED)),
      );
      total.q0 += own.q0;
      total.q4 += own.q4;
      weight[k] = own;
    }
    workgroupBarrier();
    if (pair < p.pairs) {
      out = QueryPair(out.x0 * fade.q0, out.x4 * fade.q4, out.y0 * fade.q0, out.y4 * fade.q4);
      for (var k = 0u; k < here; k++) {
        let value = kv_unpack(values[place[k] + pair]);
        let own = weight[k];
        out.x0 += own.q0 * value.x;
        out.x4 += own.q4 * value.x;
        out.y0 += own.q0 * value.y;
        out.y4 += own.q4 * value.y;
      }
    }
    workgroupBarrier();
  }
  let sum0 = workgroup_sum(total.q0, lane);
  let sum4 = workgroup_sum(total.q4, lane);
  if (pair < p.pairs) {
    for (var q = 0u; q < 4; q++) {
      store(q, pair, run, group, out.x0[q] / sum0[q], out.y0[q] / sum0[q]);
      store(q + 4, pair, run, group, out.x4[q] / sum4[q], out.y4[q] / sum4[q]);
    }
  }
}
