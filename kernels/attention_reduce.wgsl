// Attention, the splits of single tokens put together: y = sum of exp(max - greatest max) out / sum
// of exp(max - greatest max) sum
//
//   x [T, splits, H Dv + 2 H] f32, as attention_split leaves it   sinks [H] f32
//   ->   y [T, H Dv] f32
//
// grid (H, T): a workgroup owns a head of a token, an invocation its share of the dimensions. At
// most 64 splits.
#import "lib/team/reduce.wgsl"
#import "lib/attention/sinks.wgsl"
#import "lib/attention/splits.wgsl"
#import "lib/step.wgsl"

struct Params {
  heads: u32, // H
  pairs: u32, // Dv / 2
  most: u32, // splits of all tokens together
  unshared: u32, // up to so many tokens have as many each
  stride: u32, // floats a row of x
  y_stride: u32, // floats a row of y
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> sinks: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

const THREADS = 64u;
const NOTHING = -3.0e38;

var<workgroup> factor: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, lane: Lane) {
  let head = workgroup.x;
  let width = p.pairs * 2;
  let splits = splits_each();
  let first = workgroup.z * splits * p.stride;
  var top = NOTHING;
  var sum = 0.0;
  if (lane.index < splits) {
    let at = first + lane.index * p.stride + p.heads * width + head * 2;
    sum = x[at + 1];
    if (sum > 0) { // a split without positions has no maximum and no outputs
      top = x[at];
    }
  }
  var best = workgroup_max(vec4f(top), lane).x;
  if (SINKS == 1) {
    best = max(best, sink_of(head));
  }
  let own = select(0, exp(top - best), sum > 0);
  factor[lane.index] = own;
  // The splits that have positions come first: how many they are, beside the sum of all weights.
  let all = workgroup_sum(vec4f(own * sum, select(0.0, 1.0, sum > 0), 0, 0), lane);
  var total = all.x;
  if (SINKS == 1) {
    total += exp(sink_of(head) - best);
  }
  for (var d = lane.index; d < width; d += THREADS) {
    var value = 0.0;
    for (var split = 0u; split < u32(all.y); split++) {
      value += factor[split] * x[first + split * p.stride + head * width + d];
    }
    y[workgroup.z * p.y_stride + head * width + d] = value / total;
  }
}
