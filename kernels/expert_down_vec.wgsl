// Expert down for few tokens: y[s,d] = w2[d,:] · x[s,:], expert = ids[s]
//
//   w [E, D, F] packed   x [T K, F] f32   ids [T K]   ->   y [T K, D] f32
//
// grid (ceil(rows of the part / 4), T K): a workgroup makes four rows of one slot, or nothing if the part lacks its expert.
#import "lib/weights.wgsl"
#import "lib/reduce.wgsl"
#import "lib/dot.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;

struct Params {
  y_stride: u32, // floats a row of y
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> x: array<vec4f>;
@group(0) @binding(4) var<storage, read> ids: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let row = group_index(group, groups) * 4;
  let slot = group.z;
  let expert = ids[slot] - part.first_expert; // wraps to a large number below the part
  if (row >= part.rows || expert >= part.experts) {
    return;
  }
  let sum = dot4(expert, row, slot * part.groups * 8, lane);
  if (lane.index < min(4, part.rows - row)) {
    y[slot * p.y_stride + part.first_row + row + lane.index] = sum[lane.index];
  }
}
