// Attention over the cached positions, many tokens: y[t,h,:] = softmax(scale q[t,h,:] . keys^T)
// values, causal, grouped heads
//
//   qkv [T, (H + 2 Hkv) Dh] f32   keys, values: paged, f32, f16 or q8   runs   sinks [H] f32
//   ->   y [T, H Dh] f32
//
// grid (Hkv * ceil(G / abreast), runs), G = H / Hkv: a workgroup owns 256 / SHARES rows, queries
// that read the same keys: `abreast` heads of one key/value head for the tokens of a run, which
// follow each other in one sequence. SHARES invocations own four rows: each keeps its share of
// their dimensions, of the queries and of the results, in registers. Keys and values are brought in
// 64 / SHARES positions at a time, as f32; maxima and sums are carried along (online softmax), so
// that any length fits. What the shares add to a score is summed by one of the invocations that own
// its row, and weighed by it. SHARES is a power of two, Dh at most 16 SHARES.
#import "lib/attention/kv.wgsl"
#import "lib/attention/key.wgsl"
#import "lib/attention/value.wgsl"
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
  // Positions that are scored together: 8, or 4 with SHARES 16. Not a constant: a software adapter
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
@group(0) @binding(4) var<storage, read> keys: array<KvStored>;
@group(0) @binding(5) var<storage, read> values: array<KvStored>;
@group(0) @binding(6) var<storage, read> sinks: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<vec2f>;

const THREADS = 64u;
const MASKED = -3.0e38;

// Positions in hand: quad i of an invocation's dimensions at [i][position * SHARES + share], zero
// past the head's dimensions. An index each, because checks of one that is known cost nothing.
var<workgroup> key_tile: array<array<vec4f, THREADS>, 4>;
var<workgroup> value_tile: array<array<vec4f, THREADS>, 4>;
// What each invocation's share adds to the scores of its four rows: [key][invocation]. Then, of
// those that own the same rows, the first's are the scores and the second's the weights.
var<workgroup> parts: array<array<vec4f, THREADS>, 8>;

// An invocation's share of four rows, dimensions 16 share .. 16 share + 15: a column is a
// dimension, a component a row.
struct Share {
  a: mat4x4f,
  b: mat4x4f,
  c: mat4x4f,
  d: mat4x4f,
}
// One query of the workgroup.
struct Row {
  real: bool,
  head: u32,
  q: u32, // its first pair in qkv
  y: u32, // and in y
}

fn row_of(row: u32, run: Run, group: u32) -> Row {
  let heads_each = p.heads / p.kv_heads;
  let chunks = (heads_each + p.abreast - 1) / p.abreast;
  let in_group = group % chunks * p.abreast + row % p.abreast;
  let head = group / chunks * heads_each + in_group;
  let token = row / p.abreast;
  let t = run.first + token;
  return Row(
    token < run.count && in_group < heads_each,
    head,
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

// Four queries' dimensions 4 quad .. 4 quad + 3.
fn query(first: u32, run: Run, group: u32, quad: u32) -> mat4x4f {
  return transpose(mat4x4f(
    query_quad(row_of(first, run, group), quad),
    query_quad(row_of(first + 1, run, group), quad),
    query_quad(row_of(first + 2, run, group), quad),
    query_quad(row_of(first + 3, run, group), quad),
  ));
}

// Brings in 64 / SHARES positions from `first` on, a unit of eight dimensions at a time; zeros
// where there are none.
fn bring(lane: u32, first: u32, end: u32, table: u32, kv_head: u32) {
  for (var i = lane; i < 128; i += THREADS) {
    let unit = i % (SHARES * 2);
    let position = first + i / (SHARES * 2);
    var key = mat2x4f();
    var value = mat2x4f();
    if (unit * 4 < p.pairs && position < end) {
      let at = kv_at(table, position, kv_head) / 4;
      key = kv_unpack(key_unit(at, unit));
      value = kv_unpack(value_unit(at, unit));
    }
    // Two units are an invocation's four quads.
    let to = i / 2;
    let quad = i % 2 * 2;
    key_tile[quad][to] = key[0];
    key_tile[quad + 1][to] = key[1];
    value_tile[quad][to] = value[0];
    value_tile[quad + 1][to] = value[1];
  }
}

// What a share of the key at [..][at] adds to the scores of four rows.
fn product(q: ptr<function, Share>, at: u32) -> vec4f {
  return (*q).a * key_tile[0][at] + (*q).b * key_tile[1][at] + (*q).c * key_tile[2][at] + (*q).d * key_tile[3][at];
}

// The score of the chunk's key k for four rows, from what the invocations that share them have
// left, of which `first` is the first; MASKED where a row does not see the key, at `position`.
fn score(k: u32, first: u32, position: u32, begins: vec4u, ends: vec4u) -> vec4f {
  var sum = parts[k][first];
  for (var i = 1u; i < SHARES; i++) {
    sum += parts[k][first + i];
  }
  return select(vec4f(MASKED), sum, (vec4u(position) >= begins) & (vec4u(position) < ends));
}

fn weight(score: vec4f, top: vec4f) -> vec4f {
  return select(vec4f(), exp(score - top), score > vec4f(MASKED));
}

fn times(value: vec4f, weight: vec4f) -> mat4x4f {
  return mat4x4f(weight * value.x, weight * value.y, weight * value.z, weight * value.w);
}

// Adds the value at [..][at], weighted, to the results of four rows.
fn accumulate(out: ptr<function, Share>, at: u32, weight: vec4f) {
  (*out).a += times(value_tile[0][at], weight);
  (*out).b += times(value_tile[1][at], weight);
  (*out).c += times(value_tile[2][at], weight);
  (*out).d += times(value_tile[3][at], weight);
}

fn faded(m: mat4x4f, by: vec4f) -> mat4x4f {
  return mat4x4f(m[0] * by, m[1] * by, m[2] * by, m[3] * by);
}

fn store_quad(row: Row, quad: u32, result: vec4f) {
  let pair = quad * 2;
  if (row.real && pair < p.pairs) {
    y[row.y + pair] = result.xy;
    if (pair + 1 < p.pairs) {
      y[row.y + pair + 1] = result.zw;
    }
  }
}

// Stores a row's dimensions 16 share .. 16 share + 15.
fn store_row(row: Row, share: u32, a: vec4f, b: vec4f, c: vec4f, d: vec4f) {
  store_quad(row, share * 4, a);
  store_quad(row, share * 4 + 1, b);
  store_quad(row, share * 4 + 2, c);
  store_quad(row, share * 4 + 3, d);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  let run = runs[workgroup.z];
  let group = workgroup.x;
  let token = token_at(run.first);
  let position = token.position;
  let kv_head = group / ((p.heads / p.kv_heads + p.abreast - 1) / p.abreast);
  let end = position + run.count;
  let share = lane % SHARES;
  let owner = lane / SHARES * SHARES; // the first of those that own the same rows
  let first_row = lane / SHARES * 4;
  let positions = position + (vec4u(first_row) + vec4u(0, 1, 2, 3)) / p.abreast;
  let ends = positions + 1;
  let begins = vec4u(
    window_begin(positions.x),
    window_begin(positions.y),
    window_begin(positions.z),
    window_begin(positions.w),
  );
  var queries = Share(
    query(first_row, run, group, share * 4),
    query(first_row, run, group, share * 4 + 1),
    query(first_row, run, group, share * 4 + 2),
    query(first_row, run, group, share * 4 + 3),
  );
  var out = Share();
  var top = vec4f(MASKED);
  var total = vec4f();
  if (SINKS == 1) { // what the softmax has seen before the first key
    top = vec4f(
      sink_of(row_of(first_row, run, group).head),
      sink_of(row_of(first_row + 1, run, group).head),
      sink_of(row_of(first_row + 2, run, group).head),
      sink_of(row_of(first_row + 3, run, group).head),
    );
    total = vec4f(1);
  }
  for (var first = window_begin(position); first < end; first += THREADS / SHARES) {
    bring(lane, first, end, token.table, kv_head);
    workgroupBarrier();
    for (var chunk = 0u; chunk < THREADS / SHARES; chunk += p.chunk) {
      let at = chunk * SHARES + share;
      for (var k = 0u; k < p.chunk; k++) {
        parts[k][lane] = product(&queries, at + k * SHARES);
      }
      workgroupBarrier();
      for (var k = share; k < p.chunk; k += SHARES) {
        parts[k][owner] = score(k, owner, first + chunk + k, begins, ends);
      }
      workgroupBarrier();
      var best = top;
      for (var k = 0u; k < p.chunk; k++) {
        best = max(best, parts[k][owner]);
      }
      let fade = exp(top - best);
      top = best;
      total *= fade;
      out = Share(faded(out.a, fade), faded(out.b, fade), faded(out.c, fade), faded(out.d, fade));
      if (SHARES > 1) {
        for (var k = share; k < p.chunk; k += SHARES) {
          parts[k][owner + 1] = weight(parts[k][owner], top);
        }
        workgroupBarrier();
      }
      for (var k = 0u; k < p.chunk; k++) {
        var weights: vec4f;
        if (SHARES > 1) {
          weights = parts[k][owner + 1];
        } else {
          weights = weight(parts[k][owner], top);
        }
        total += weights;
        accumulate(&out, at + k * SHARES, weights);
      }
      // what comes next overwrites these parts, and the positions in hand after the last chunk
      workgroupBarrier();
    }
  }
  let a = transpose(faded(out.a, 1 / total));
  let b = transpose(faded(out.b, 1 / total));
  let c = transpose(faded(out.c, 1 / total));
  let d = transpose(faded(out.d, 1 / total));
  store_row(row_of(first_row, run, group), share, a[0], b[0], c[0], d[0]);
  store_row(row_of(first_row + 1, run, group), share, a[1], b[1], c[1], d[1]);
  store_row(row_of(first_row + 2, run, group), share, a[2], b[2], c[2], d[2]);
  store_row(row_of(first_row + 3, run, group), share, a[3], b[3], c[3], d[3]);
}
