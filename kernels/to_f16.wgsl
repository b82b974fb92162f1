// Activations to f16: y = x / s, s a power of two a row such that the largest of the row is from
// 2^13 to 2^14, x normed first or not
//
//   x [T, D] f32   norm [D] f32
//   ->   y [T, D] f16, then the scale s, f32: a row is groups * 8 quads of columns and one more
//
// f16 ends at 65504, and a device may take what is below 2^-14 for zero: with a scale a row,
// neither an outlier of 1e5 nor a row of small numbers is lost.
//
// grid T: a workgroup owns a row.
#import "lib/team/reduce.wgsl"
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;
override NORM: u32;

struct Params {
  D: u32, // columns that the norm's mean is over
  eps: f32,
  groups: u32, // groups of 32 columns a row
  each: u32, // rows of x for each of `count`: an expert's activations have K a token
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> norm: array<vec4f>; // NORM = 1: the norm's weights
@group(0) @binding(4) var<storage, read_write> y: array<vec2u>;

// Exponents: of the largest number of a row, and of the smallest scale.
const TOP = 14;
const LEAST = -100;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let t = group_index(group, groups);
  if (t >= count.n * p.each) {
    return;
  }
  let quads = p.groups * 8;
  var squares = vec4f();
  var most = vec4f();
  for (var c = lane.index; c < quads; c += THREADS) {
    var value = x[t * quads + c];
    if (NORM == 1) {
      squares += value * value;
      value *= norm[c];
    }
    most = max(most, abs(value));
  }
  most = workgroup_max(most, lane);
  var root = 1.0;
  if (NORM == 1) {
    let sum = workgroup_sum(squares, lane);
    root = 1 / sqrt((sum.x + sum.y + sum.z + sum.w) / f32(p.D) + p.eps);
  }
  let top = max(max(most.x, most.y), max(most.z, most.w)) * root;
  let exponent = max(frexp(top).exp - TOP, LEAST);
  let factor = ldexp(1.0, -exponent) * root;
  for (var c = lane.index; c < quads; c += THREADS) {
    var value = x[t * quads + c] * factor;
    if (NORM == 1) {
      value *= norm[c];
    }
    y[t * (quads + 1) + c] = vec2u(pack2x16float(value.xy), pack2x16float(value.zw));
  }
  if (lane.index == 0) {
    y[t * (quads + 1) + quads] = vec2u(bitcast<u32>(ldexp(1.0, exponent)), 0);
  }
}
