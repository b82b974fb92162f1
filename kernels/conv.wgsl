// A depthwise causal convolution over positions, y_t = silu(sum_j w_j x_(t - taps + 1 + j)); GATED:
// of B * x, times C and without silu
//
//   x [T, C] f32, GATED: [T, 3 C], B, C and x side by side   w [taps, C] f32, the oldest row's first
//   runs [n]: first row, rows, slot, 1 if it begins at position 0
//   state [slots, taps - 1, C] f32: the rows before these, oldest first   ->   y [T, C], state
//
// grid (ceil(C / 64), n): an invocation takes a channel through all rows of a run.
#import "lib/grid.wgsl"

override GATED: u32;

struct Params {
  C: u32,
  taps: u32,
  stride: u32, // floats a row of x
  y_stride: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> runs: array<vec4u>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> w: array<f32>;
@group(0) @binding(4) var<storage, read_write> state: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

// What goes in at row t of the run; a row below 0 is one of the state's.
fn input(run: vec4u, t: i32, c: u32) -> f32 {
  let before = p.taps - 1;
  if (t < 0) {
    if (run.w == 1) {
      return 0;
    }
    return state[(run.z * before + u32(t + i32(before))) * p.C + c];
  }
  let at = (run.x + u32(t)) * p.stride + c;
  if (GATED == 1) {
    return x[at] * x[at + 2 * p.C];
  }
  return x[at];
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let c = group_index(group, groups) * 64 + lane;
  if (c >= p.C) {
    return;
  }
  let run = runs[group.z];
  let before = i32(p.taps) - 1;
  for (var t = 0; t < i32(run.y); t++) {
    var sum = 0.0;
    for (var j = 0; j <= before; j++) {
      sum += w[u32(j) * p.C + c] * input(run, t - before + j, c);
    }
    let row = run.x + u32(t);
    if (GATED == 1) {
      sum *= x[row * p.stride + p.C + c];
    } else {
      sum /= 1 + exp(-sum);
    }
    y[row * p.y_stride + c] = sum;
  }
  // Oldest first, so that no row is overwritten before it has moved.
  for (var j = 0; j < before; j++) {
    state[(run.z * u32(before) + u32(j)) * p.C + c] = input(run, i32(run.y) - before + j, c);
  }
}
