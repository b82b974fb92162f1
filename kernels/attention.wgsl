// Attention over the cached positions, many tokens: y[t,h,:] = softmax(scale q[t,h,:] . keys^T)
// values, causal, grouped heads
//
//   qkv [T, (H + 2 Hkv) Dh] f32   keys, values: paged, f16 or f32   runs   sinks [H] f32
//   ->   y [T, H Dh] f32
//
// grid (Hkv * ceil(G / abreast), runs), G = H / Hkv: a workgroup owns 128 / SHARES rows, queries
// that read the same keys: `abreast` heads of one key/value head for the tokens of a run, which
// follow each other in one sequence. SHARES invocations own two rows: each keeps its share of their
// dimensions, of the queries and of the results, in registers. Keys and values are brought in 32 /
// SHARES positions at a time, as f32; maxima and sums are carried along (online softmax), so that
// any length fits. SHARES is a power of two, Dh at most 32 SHARES.
#import "lib/attention/kv.wgsl"
#import "lib/attention/paged.wgsl"
#import "lib/attention/sinks.wgsl"
#import "lib/token.wgsl"
#import "lib/attention/window.wgsl"

override SHARES: u32;

struct Params {
  block: u32, // positions a block
  heads: u32, // H
  kv_heads: u32, // Hkv
  pairs: u32, // Dh / 2
  window: u32, // positions seen, the token's own included; 0 sees every earlier one
  scale: f32, // of the scores: 1 / sqrt(Dh) as a rule
  stride: u32, // floats a row of qkv
  y_stride: u32, // floats a row of y
  abreast: u32, // heads that a workgroup takes
  // Positions that are scored together: 8, or 4 with SHARES 8. Not a constant: a software adapter
  // would unroll the loops over them, and compile for a minute.
  chunk: u32,
}

// Tokens `first` .. `first + count - 1`, at positions one after another.
struct Run {
  first: u32,
  count: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> runs: array<Run>;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read> qkv: array<vec2f>;
@group(0) @binding(4) var<storage, read> keys: array<KvUnit>;
@group(0) @binding(5) var<storage, read> values: array<KvUnit>;
@group(0) @binding(6) var<storage, read> sinks: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<vec2f>;

const THREADS = 64u;
const MASKED = -3.0e38;

// Positions in hand, as quads of four dimensions: [position, 8 SHARES quads], zero past
// the head's dimensions.
var<workgroup> key_tile: array<vec4f, 256>;
var<workgroup> value_tile: array<vec4f, 256>;
// what each invocation's share adds to the scores of its two rows: [key, invocation]
var<workgroup> parts: array<vec2f, THREADS * 8>;

// An invocation's share of a row: quads share + i SHARES, i = 0 .. 3 in `near`, 4 .. 7 in `far`.
struct Share {
  near: mat4x4f,
  far: mat4x4f,
}
// One query of the workgroup.
struct Row {
  real: bool,
  head: u32,
  position: u32,
  q: u32, // its first pair in qkv
  y: u32, // and in y
}

fn row_of(row: u32, run: Run, first_position: u32, group: u32) -> Row {
  let heads_each = p.heads / p.kv_heads;
  let chunks = (heads_each + p.abreast - 1) / p.abreast;
  let in_group = group % chunks * p.abreast + row % p.abreast;
  let head = group / chunks * heads_each + in_group;
  let token = row / p.abreast;
  let t = run.first + token;
  return Row(
    token < run.count && in_group < heads_each,
    head,
    first_position + token,
    t * (p.stride / 2) + head * p.pairs,
    t * (p.y_stride / 2) + head * p.pairs,
  );
}

fn query_pair(row: Row, pair: u32) -> vec2f {
  let real = row.real && pair < p.pairs;
  return qkv[select(0, row.q + pair, real)] * select(0, p.scale, real);
}

fn query_quad(row: Row, quad: u32) -> vec4f {
  return vec4f(query_pair(row, quad * 2), query_pair(row, quad * 2 + 1));
}

fn query(row: Row, share: u32) -> Share {
  return Share(
    mat4x4f(
      query_quad(row, share),
      query_quad(row, share + SHARES),
      query_quad(row, share + SHARES * 2),
      query_quad(row, share + SHARES * 3),
    ),
    mat4x4f(
      query_quad(row, share + SHARES * 4),
      query_quad(row, share + SHARES * 5),
      query_quad(row, share + SHARES * 6),
      query_quad(row, share + SHARES * 7),
    ),
  );
}

// Brings in 32 / SHARES positions from `first` on, a unit of eight dimensions at a time; zeros
// where there are none.
fn bring(lane: u32, first: u32, end: u32, table: u32, kv_head: u32) {
  for (var i = lane; i < 128; i += THREADS) {
    let unit = i % (SHARES * 4);
    let position = first + i / (SHARES * 4);
    var key = mat2x4f();
    var value = mat2x4f();
    if (unit * 4 < p.pairs && position < end) {
      let at = kv_at(table, position, kv_head) / 4 + unit;
      key = kv_unpack(keys[at]);
      value = kv_unpack(values[at]);
    }
    key_tile[i * 2] = key[0];
    key_tile[i * 2 + 1] = key[1];
    value_tile[i * 2] = value[0];
    value_tile[i * 2 + 1] = value[1];
  }
}

fn key_share(at: u32) -> Share {
  return Share(
    mat4x4f(key_tile[at], key_tile[at + SHARES], key_tile[at + SHARES * 2], key_tile[at + SHARES * 3]),
    mat4x4f(key_tile[at + SHARES * 4], key_tile[at + SHARES * 5], key_tile[at + SHARES * 6], key_tile[at + SHARES * 7]),
  );
}

fn value_share(at: u32) -> Share {
  return Share(
    mat4x4f(value_tile[at], value_tile[at + SHARES], value_tile[at + SHARES * 2], value_tile[at + SHARES * 3]),
    mat4x4f(value_tile[at + SHARES * 4], value_tile[at + SHARES * 5], value_tile[at + SHARES * 6], value_tile[at + SHARES * 7]),
  );
}

fn product(q: ptr<function, Share>, k: Share) -> f32 {
  var sum = (*q).near[0] * k.near[0] + (*q).near[1] * k.near[1] + (*q).near[2] * k.near[2] + (*q).near[3] * k.near[3];
  sum += (*q).far[0] * k.far[0] + (*q).far[1] * k.far[1] + (*q).far[2] * k.far[2] + (*q).far[3] * k.far[3];
  return dot(sum, vec4f(1));
}

// The scores of the chunk's key k for two rows, from what the invocations that share them have
// left; MASKED where a row does not see the key, which is at `position`.
fn scores(k: u32, lane: u32, position: u32, begins: vec2u, ends: vec2u) -> vec2f {
  let first = k * THREADS + lane / SHARES * SHARES;
  var sum = parts[first];
  for (var i = 1u; i < SHARES; i++) {
    sum += parts[first + i];
  }
  return select(vec2f(MASKED), sum, (vec2u(position) >= begins) & (vec2u(position) < ends));
}

// Adds the value at value_tile[at], weighted, to the results of two rows.
fn accumulate(a: ptr<function, Share>, b: ptr<function, Share>, at: u32, weight: vec2f) {
  let value = value_share(at);
  (*a).near += value.near * weight.x;
  (*b).near += value.near * weight.y;
  (*a).far += value.far * weight.x;
  (*b).far += value.far * weight.y;
}

fn store(row: Row, share: u32, result: mat4x4f, total: f32) {
  for (var i = 0u; i < 4; i++) {
    let pair = (share + i * SHARES) * 2;
    if (row.real && pair < p.pairs) {
      y[row.y + pair] = result[i].xy / total;
      if (pair + 1 < p.pairs) {
        y[row.y + pair + 1] = result[i].zw / total;
      }
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  let run = runs[workgroup.z];
  let group = workgroup.x;
  let token = token_at(run.first);
  let kv_head = group / ((p.heads / p.kv_heads + p.abreast - 1) / p.abreast);
  let end = token.position + run.count;
  let share = lane % SHARES;
  let row_a = row_of(lane / SHARES * 2, run, token.position, group);
  let row_b = row_of(lane / SHARES * 2 + 1, run, token.position, group);
  let begins = vec2u(window_begin(row_a.position), window_begin(row_b.position));
  let ends = vec2u(row_a.position, row_b.position) + 1;
  var query_a = query(row_a, share);
  var query_b = query(row_b, share);
  var out_a = Share();
  var out_b = Share();
  var top = vec2f(MASKED);
  var total = vec2f();
  if (SINKS == 1) { // what the softmax has seen before the first key
    top = vec2f(sink_of(row_a.head), sink_of(row_b.head));
    total = vec2f(1);
  }
  for (var first = window_begin(token.position); first < end; first += 32 / SHARES) {
    bring(lane, first, end, token.table, kv_head);
    workgroupBarrier();
    for (var chunk = 0u; chunk < 32 / SHARES; chunk += p.chunk) {
      let at = chunk * SHARES * 8 + share;
      for (var k = 0u; k < p.chunk; k++) {
        let key = key_share(at + k * SHARES * 8);
        parts[k * THREADS + lane] = vec2f(product(&query_a, key), product(&query_b, key));
      }
      workgroupBarrier();
      var best = top;
      for (var k = 0u; k < p.chunk; k++) {
        best = max(best, scores(k, lane, first + chunk + k, begins, ends));
      }
      let fade = exp(top - best);
      top = best;
      total *= fade;
      out_a = Share(out_a.near * fade.x, out_a.far * fade.x);
      out_b = Share(out_b.near * fade.y, out_b.far * fade.y);
      for (var k = 0u; k < p.chunk; k++) {
        let score = scores(k, lane, first + chunk + k, begins, ends);
        let weight = select(vec2f(), exp(score - top), score > vec2f(MASKED));
        total += weight;
        accumulate(&out_a, &out_b, at + k * SHARES * 8, weight);
      }
      // what comes next overwrites these parts, and the positions in hand after the last chunk
      workgroupBarrier();
    }
  }
  store(row_a, share, out_a.near, total.x);
  store(row_a, share + SHARES * 4, out_a.far, total.x);
  store(row_b, share, out_b.near, total.y);
  store(row_b, share + SHARES * 4, out_b.far, total.y);
}
