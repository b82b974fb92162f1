// Attention over the cached positions: y[t,h,:] = softmax(q[t,h,:] · keysᵀ / sqrt(Dh)) values, causal, grouped heads
//
//   qkv [T, (H + 2 Hkv) Dh] f32   keys, values: paged, f16 or f32   ->   y [T, H Dh] f32
//
// grid (H, T): a workgroup owns one head of one token. It takes THREADS positions at a time: an invocation a score, then
// an invocation a pair of output dimensions; maximum and sum are carried along (online softmax), so that any length fits.
#import "lib/reduce.wgsl"
#import "lib/kv.wgsl"
#import "lib/paged.wgsl"
#import "lib/step.wgsl"

override MAX_PAIRS: u32; // room for a head: at least Dh / 2
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

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> tokens: array<Token>;
@group(0) @binding(2) var<storage, read> blocks: array<u32>;
@group(0) @binding(3) var<storage, read> qkv: array<f32>;
@group(0) @binding(4) var<storage, read> keys: array<KvPair>;
@group(0) @binding(5) var<storage, read> values: array<KvPair>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

var<workgroup> query: array<vec2f, MAX_PAIRS>; // scaled by 1 / sqrt(Dh)
var<workgroup> out: array<vec2f, MAX_PAIRS>;
var<workgroup> weight: array<f32, THREADS>; // exp(score - max) of the positions in hand
var<workgroup> place: array<u32, THREADS>; // where those positions lie

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, lane: Lane) {
  let head = group.x;
  let t = group.z;
  let token = tokens[t];
  let end = token.position + 1;
  let begin = select(0, end - min(end, p.window), p.window > 0);
  for (var i = lane.index; i < p.pairs; i += THREADS) {
    let at = t * p.stride + (head * p.pairs + i) * 2;
    query[i] = vec2f(qkv[at], qkv[at + 1]) * p.scale;
    out[i] = vec2f();
  }
  workgroupBarrier();

  var top = -3.0e38;
  var total = 0.0;
  for (var first = begin; first < end; first += THREADS) {
    let position = first + lane.index;
    var score = -3.0e38;
    if (position < end) {
      let at = kv_at(token.table, position, head * p.kv_heads / p.heads);
      place[lane.index] = at;
      var sum = vec2f();
      for (var i = 0u; i < p.pairs; i++) {
        sum += query[i] * kv_unpack(keys[at + i]);
      }
      score = sum.x + sum.y;
    }
    let top_now = max(top, workgroup_max(score, lane));
    let fade = exp(top - top_now);
    top = top_now;
    let own = select(0.0, exp(score - top), position < end);
    weight[lane.index] = own;
    total = total * fade + workgroup_sum(vec4f(own, 0, 0, 0), lane).x; // its barriers show weight and place to all
    let here = min(THREADS, end - first);
    for (var i = lane.index; i < p.pairs; i += THREADS) {
      var sum = out[i] * fade;
      for (var j = 0u; j < here; j++) {
        sum += weight[j] * kv_unpack(values[place[j] + i]);
      }
      out[i] = sum;
    }
    workgroupBarrier();
  }
  for (var i = lane.index; i < p.pairs; i += THREADS) {
    let at = t * p.y_stride + (head * p.pairs + i) * 2;
    y[at] = out[i].x / total;
    y[at + 1] = out[i].y / total;
  }
}
