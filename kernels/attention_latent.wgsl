// Attention over the cached positions, many tokens, of latents that all heads share:
// y[t,h,:] = softmax(scale q[t,h,:] . keys^T) keys[:, skip ..], causal
//
//   qkv [T, (H + 1) Dh] f32   keys: paged, f32, f16 or q8   runs   ->   y [T, H Dv] f32
//
// A value is a key without its first `skip` numbers: Dv = Dh - skip.
//
// grid (ceil(longest run * H / 32) * slabs of values, runs): a workgroup owns 32 rows, the queries
// of all heads for the tokens of a run one after the other, and 512 dimensions of their results.
// Scores of 64 positions are a product of the rows by the keys, a slab of 32 dimensions at a time:
// an invocation makes four rows by four positions, of every other four dimensions. Results are a
// product of the weights by the values, which are read where they lie: an invocation keeps eight
// rows by eight dimensions. Maxima and sums are carried along (online softmax).
#import "lib/attention/kv.wgsl"
#import "lib/attention/key.wgsl"
#import "lib/attention/paged.wgsl"
#import "lib/token.wgsl"
#import "lib/attention/window.wgsl"

struct Params {
  block: u32, // positions a block
  heads: u32, // H
  kv_heads: u32, // 1
  pairs: u32, // Dh / 2
  window: u32, // positions seen, the token's own included; 0 sees every earlier one
  scale: f32, // of the scores
  stride: u32, // floats a row of qkv
  y_stride: u32, // floats a row of y
  skip: u32,
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
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

const THREADS = 256u;
const ROWS = 32u;
const POSITIONS = 64u;
const MASKED = -3.0e38;
// Where keys begin in `tile`, and then scores.
const KEYS = 256u;

// A slab: four dimensions of each row at [quad][row], of each position's key at KEYS + [quad]
// [position]. Then of four rows at once: the maxima of four positions at [position mod 16][four],
// scores and weights at KEYS + [position][four].
var<workgroup> tile: array<vec4f, 768>;
// Where the keys of these positions lie.
var<workgroup> places: array<u32, POSITIONS>;

// Eight dimensions of eight rows: a column is a dimension, a component a row.
struct Out {
  near0: mat4x4f, // rows 0 .. 3, dimensions 0 .. 3
  far0: mat4x4f, // dimensions 4 .. 7
  near4: mat4x4f, // rows 4 .. 7
  far4: mat4x4f,
}

// What an invocation brings in of each slab: eight dimensions of a key, four of a query.
struct Brought {
  place: u32, // the key's
  query: u32, // the query's first pair in qkv
  real: bool,
}

// Two neighbouring dimensions of a query; 0 where there are none.
fn query_pair(own: Brought, pair: u32) -> vec2f {
  let real = own.real && pair < p.pairs;
  return qkv[select(0, own.query + pair, real)] * select(0, p.scale, real);
}

// Brings in dimensions 8 unit .. 8 unit + 31 of the rows and of the keys.
fn bring(lane: u32, unit: u32, own: Brought) {
  let at = unit + lane % 4;
  var key = mat2x4f();
  if (at * 4 < p.pairs) {
    key = kv_unpack(key_unit(own.place, at));
  }
  let to = KEYS + lane % 4 * 2 * POSITIONS + lane / 4;
  tile[to] = key[0];
  tile[to + POSITIONS] = key[1];
  let quad = lane % 8;
  let pair = unit * 4 + quad * 2;
  tile[quad * ROWS + lane / 8] = vec4f(query_pair(own, pair), query_pair(own, pair + 1));
}

fn weight(score: vec4f, top: vec4f) -> vec4f {
  return select(vec4f(), exp(score - top), score > vec4f(MASKED));
}

fn faded(m: mat4x4f, by: vec4f) -> mat4x4f {
  return mat4x4f(m[0] * by, m[1] * by, m[2] * by, m[3] * by);
}

fn times(value: vec4f, weight: vec4f) -> mat4x4f {
  return mat4x4f(weight * value.x, weight * value.y, weight * value.z, weight * value.w);
}

// Stores four dimensions of a row's result, from `d` on.
fn store_quad(at: u32, d: u32, quad: vec4f) {
  for (var i = 0u; i < 4; i++) {
    if (d + i >= p.skip && d + i < p.pairs * 2) {
      y[at + d + i - p.skip] = quad[i];
    }
  }
}

// Stores eight dimensions of four rows from `row` on.
fn store_rows(run: Run, row: u32, d: u32, near: mat4x4f, far: mat4x4f) {
  let lines = transpose(near);
  let rest = transpose(far);
  for (var i = 0u; i < 4; i++) {
    if (row + i < run.count * p.heads) {
      let at = (run.first + (row + i) / p.heads) * p.y_stride + (row + i) % p.heads * (p.pairs * 2 - p.skip);
      store_quad(at, d, lines[i]);
      store_quad(at, d + 4, rest[i]);
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  let run = runs[workgroup.z];
  let units = (p.pairs + 3) / 4;
  let slabs = (units - p.skip / 8 + 63) / 64;
  let first_row = workgroup.x / slabs * ROWS;
  if (first_row >= run.count * p.heads) {
    return;
  }
  let token = token_at(run.first);
  let last_row = min(first_row + ROWS, run.count * p.heads) - 1;
  let begin = window_begin(token.position + first_row / p.heads);
  let end = token.position + last_row / p.heads + 1;

  // Of scores: every other four dimensions from 4 `part` on, of four rows, of positions
  // `column`, `column` + 16, ...
  let part = lane / 128;
  let four = lane / 16 % 8;
  let column = lane % 16;
  let seen = token.position + (first_row + four * 4 + vec4u(0, 1, 2, 3)) / p.heads;
  let begins = vec4u(window_begin(seen.x), window_begin(seen.y), window_begin(seen.z), window_begin(seen.w));
  let queried = first_row + lane / 8;
  let query = (run.first + queried / p.heads) * (p.stride / 2) + queried % p.heads * p.pairs;
  // Of results: eight rows and eight dimensions, or eight rows and a position.
  let own_fours = lane / 64 * 2;
  let place = lane % 64;
  let unit = p.skip / 8 + workgroup.x % slabs * 64 + place;
  var out = Out();
  var top0 = vec4f(MASKED);
  var top4 = vec4f(MASKED);
  var total0 = vec4f();
  var total4 = vec4f();

  for (var first = begin; first < end; first += POSITIONS) {
    workgroupBarrier();
    if (lane < POSITIONS) {
      places[lane] = kv_at(token.table, min(first + lane, end - 1), 0) / 4;
    }
    workgroupBarrier();
    let brought = Brought(places[lane / 4], query, queried <= last_row);
    var scores = mat4x4f(); // a column is a position
    for (var slab = 0u; slab < units; slab += 4) {
      bring(lane, slab, brought);
      workgroupBarrier();
      for (var quad = part; quad < 8; quad += 2) {
        let at = quad * ROWS + four * 4;
        let q = transpose(mat4x4f(tile[at], tile[at + 1], tile[at + 2], tile[at + 3]));
        let key = KEYS + quad * POSITIONS + column;
        scores += mat4x4f(q * tile[key], q * tile[key + 16], q * tile[key + 32], q * tile[key + 48]);
      }
      workgroupBarrier();
    }
    let scored = KEYS + column * 8 + four;
    if (part == 1) {
      for (var k = 0u; k < 4; k++) {
        tile[scored + k * 128] = scores[k];
      }
    }
    workgroupBarrier();
    if (part == 0) {
      var best = vec4f(MASKED);
      for (var k = 0u; k < 4; k++) {
        let position = vec4u(first + k * 16 + column);
        let visible = (position >= begins) & (position <= seen) & (position < vec4u(end));
        let score = select(vec4f(MASKED), scores[k] + tile[scored + k * 128], visible);
        tile[scored + k * 128] = score;
        best = max(best, score);
      }
      tile[column * 8 + four] = best;
    }
    workgroupBarrier();
    var best0 = top0;
    var best4 = top4;
    for (var i = own_fours; i < 128; i += 8) {
      best0 = max(best0, tile[i]);
      best4 = max(best4, tile[i + 1]);
    }
    let fade0 = exp(top0 - best0);
    let fade4 = exp(top4 - best4);
    top0 = best0;
    top4 = best4;
    let made = KEYS + place * 8 + own_fours;
    let weight0 = weight(tile[made], top0);
    let weight4 = weight(tile[made + 1], top4);
    tile[made] = weight0;
    tile[made + 1] = weight4;
    total0 = total0 * fade0 + weight0;
    total4 = total4 * fade4 + weight4;
    out = Out(faded(out.near0, fade0), faded(out.far0, fade0), faded(out.near4, fade4), faded(out.far4, fade4));
    workgroupBarrier();
    if (unit < units) {
      for (var k = 0u; k < min(POSITIONS, end - first); k++) {
        let value = kv_unpack(key_unit(places[k], unit));
        let at = KEYS + k * 8 + own_fours;
        out.near0 += times(value[0], tile[at]);
        out.far0 += times(value[1], tile[at]);
        out.near4 += times(value[0], tile[at + 1]);
        out.far4 += times(value[1], tile[at + 1]);
      }
    }
  }
  // The sums of all positions, each invocation's own so far.
  workgroupBarrier();
  tile[KEYS + place * 8 + own_fours] = total0;
  tile[KEYS + place * 8 + own_fours + 1] = total4;
  workgroupBarrier();
  total0 = vec4f();
  total4 = vec4f();
  for (var i = KEYS + own_fours; i < KEYS + 512; i += 8) {
    total0 += tile[i];
    total4 += tile[i + 1];
  }
  if (unit < units) {
    let row = first_row + own_fours * 4;
    store_rows(run, row, unit * 8, faded(out.near0, 1 / total0), faded(out.far0, 1 / total0));
    store_rows(run, row + 4, unit * 8, faded(out.near4, 1 / total4), faded(out.far4, 1 / total4));
  }
}
