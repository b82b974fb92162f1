// Attention of up to eight heads of one key/value head over a part of a token's positions, which
// attention_split.wgsl and attention_turn.wgsl share. Uses their bindings and params.
//
// UNITS invocations side by side read a position, eight dimensions each; their part of the outputs
// stays in registers, for four heads. There are SLICES such slices, each with its own maxima and
// sums (online softmax) up to the end, and as many again for the other four heads, where there are
// more. A tile is four positions a slice (attend_*.wgsl).
#import "lib/attention/kv.wgsl"
#import "lib/attention/key.wgsl"
#import "lib/attention/value.wgsl"
#import "lib/attention/paged.wgsl"
#import "lib/attention/sinks.wgsl"
#import "lib/attention/splits.wgsl"
#import "lib/step.wgsl"
#import "lib/token.wgsl"
#import "lib/attention/window.wgsl"

override UNITS: u32; // ceil(Dh / 8)
override SLICES: u32; // at most 16
override FOURS: u32; // of heads: 2 if a workgroup may have more than four, else 1

const QUERIES = 8u;
const MASKED = -3.0e38;

// What each invocation adds to the scores, a row of an odd number of vectors a position against
// bank conflicts; at the end, what each adds to the outputs.
// Names for sizes: wgpu (naga 29) panics over a formula of overrides that are declared later.
override PARTS: u32 = FOURS * SLICES * 4 * (UNITS | 1);
override SCORES: u32 = FOURS * SLICES * 4;
override PLACES: u32 = SLICES * 8;
var<workgroup> parts: array<vec4f, PARTS>;
// [four of heads, position]; at the end, the slices' maxima and sums
var<workgroup> scores: array<vec4f, SCORES>;
// where the positions of this tile and of the next one lie
var<workgroup> places: array<u32, PLACES>;

// An invocation's place: which four of the workgroup's heads, and which of their invocations it is.
struct Place {
  four: u32,
  index: u32, // slice * UNITS + unit
  slice: u32,
  unit: u32,
}

fn place_of(lane: u32) -> Place {
  let index = lane % (UNITS * SLICES);
  return Place(lane / (UNITS * SLICES), index, index / UNITS, index % UNITS);
}

// Eight dimensions of four heads: a column is a dimension, a row a head.
struct Eight {
  near: mat4x4f,
  far: mat4x4f,
}

fn times(q: Eight, key: mat2x4f) -> vec4f {
  return q.near * key[0] + q.far * key[1];
}

fn plus(out: Eight, weight: vec4f, value: mat2x4f) -> Eight {
  let near = value[0];
  let far = value[1];
  return Eight(
    out.near + mat4x4f(weight * near.x, weight * near.y, weight * near.z, weight * near.w),
    out.far + mat4x4f(weight * far.x, weight * far.y, weight * far.z, weight * far.w),
  );
}

// A slice's maxima and sums for four heads.
struct Soft {
  top: vec4f,
  total: vec4f,
}

fn weigh(score: vec4f, top: vec4f) -> vec4f {
  return select(vec4f(), exp(score - top), score > vec4f(MASKED));
}

fn faded(out: Eight, by: vec4f) -> Eight {
  let near = out.near;
  let far = out.far;
  return Eight(
    mat4x4f(near[0] * by, near[1] * by, near[2] * by, near[3] * by),
    mat4x4f(far[0] * by, far[1] * by, far[2] * by, far[3] * by),
  );
}

fn value_size() -> u32 {
  return p.pairs * 2 - p.skip;
}

// Heads of the workgroup: the first, and how many.
struct Heads {
  first: u32,
  count: u32,
}

// Sums four dimensions of each unit over the slices and stores them for the four heads. Contains
// barriers: call it in uniform control flow.
fn store(quad: mat4x4f, dimension: u32, heads: Heads, row: u32, place: Place) {
  workgroupBarrier(); // the slowest invocation still reads
  let first = place.four * UNITS * SLICES * 4;
  for (var i = 0u; i < 4; i++) {
    parts[first + place.index * 4 + i] = quad[i];
  }
  workgroupBarrier();
  let q = place.four * 4;
  for (var i = place.index; i < UNITS * 4; i += UNITS * SLICES) {
    var sum = vec4f();
    for (var slice = 0u; slice < p.slices; slice++) {
      sum += parts[first + slice * UNITS * 4 + i];
    }
    let d = i / 4 * 8 + dimension + i % 4;
    for (var h = q; h < min(q + 4, heads.count) && d >= p.skip && d < p.pairs * 2; h++) {
      y[row + (heads.first + h) * value_size() + d - p.skip] = sum[h - q];
    }
  }
}

// Ends the softmax of the four heads over all slices and stores their outputs. Contains barriers.
fn finish(out: Eight, soft: Soft, heads: Heads, row: u32, place: Place) {
  workgroupBarrier();
  let first = place.four * SLICES * 2;
  if (place.unit == 0) {
    scores[first + place.slice * 2] = soft.top;
    scores[first + place.slice * 2 + 1] = soft.total;
  }
  workgroupBarrier();
  let q = place.four * 4;
  var top = vec4f(MASKED);
  for (var slice = 0u; slice < p.slices; slice++) {
    top = max(top, scores[first + slice * 2]);
  }
  var total = vec4f();
  if (SINKS == 1 && splits_each() == 1) { // else attention_reduce takes them
    let head = heads.first + q;
    let sink = vec4f(sink_of(head), sink_of(head + 1), sink_of(head + 2), sink_of(head + 3));
    top = max(top, sink);
    total = exp(sink - top);
  }
  for (var slice = 0u; slice < p.slices; slice++) {
    total += scores[first + slice * 2 + 1] * exp(scores[first + slice * 2] - top);
  }
  if (splits_each() > 1 && place.index == 0) {
    let at = row + value_size() * p.heads + heads.first * 2;
    for (var h = q; h < min(q + 4, heads.count); h++) {
      y[at + h * 2] = top[h - q];
      y[at + h * 2 + 1] = total[h - q];
    }
  }
  let whole = faded(out, exp(soft.top - top) / select(total, vec4f(1), splits_each() > 1));
  store(whole.near, 0, heads, row, place);
  store(whole.far, 4, heads, row, place);
}

// What a workgroup owns: heads of one key/value head, for one token and one split of the positions
// that it sees.
struct Share {
  t: u32,
  token: Token,
  kv_head: u32,
  chunk: u32, // of the key/value head's query heads
  heads: Heads,
  row: u32, // where it stores
  origin: u32, // first position
  to: u32, // behind its last one
  end: u32, // behind the token's last one: a split from there on has no positions
}

fn share_of(workgroup: vec3u) -> Share {
  let tile = SLICES * 4;
  let splits = splits_each();
  let t = workgroup.z / splits;
  let token = token_at(t);
  let heads_each = p.heads / p.kv_heads;
  let chunks = (heads_each + QUERIES - 1) / QUERIES;
  let kv_head = workgroup.x / chunks;
  let chunk = workgroup.x % chunks;
  let skipped = chunk * QUERIES;
  let heads = Heads(kv_head * heads_each + skipped, min(heads_each - skipped, QUERIES));
  let begin = window_begin(token.position);
  let end = token.position + 1;
  let span = ((end - begin + splits - 1) / splits + tile - 1) / tile * tile;
  let origin = begin + workgroup.z % splits * span;
  return Share(t, token, kv_head, chunk, heads, workgroup.z * p.y_stride, origin, min(origin + span, end), end);
}

// What a split without positions stores.
fn store_nothing(own: Share, lane: u32) {
  for (var h = lane; h < own.heads.count; h += UNITS * SLICES * FOURS) {
    y[own.row + value_size() * p.heads + (own.heads.first + h) * 2 + 1] = 0;
  }
}

// Where a slice's softmax and outputs start.
struct Start {
  soft: Soft,
  out: Eight,
}

fn nothing() -> Start {
  return Start(Soft(vec4f(MASKED), vec4f()), Eight());
}
