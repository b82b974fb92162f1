// Activations to int8: y = round(x / s), a scale s = max |x| / 127 a group of 32, x normed
// first or not
//
//   x [T, D] f32   norm [D] f32
//   ->   y [T, D] int8, then the scales f32: a row is groups * 8 words and groups scales
//
// grid T: a workgroup owns a row; an invocation takes whole groups.
#import "lib/team/reduce.wgsl"
#import "lib/matrix/quantize_row.wgsl"
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
@group(0) @binding(4) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let t = group_index(group, groups);
  if (t >= count.n * p.each) {
    return;
  }
  let start = t * p.groups * 8;
  var scale = 1.0;
  if (NORM == 1) {
    var squares = vec4f();
    for (var c = lane.index; c < p.groups * 8; c += THREADS) {
      squares += x[start + c] * x[start + c];
    }
    let sum = workgroup_sum(squares, lane);
    scale = 1 / sqrt((sum.x + sum.y + sum.z + sum.w) / f32(p.D) + p.eps);
  }
  quantize_row(t, p.groups, scale, lane.index, THREADS);
}
