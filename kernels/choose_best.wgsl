// First half of choosing without temperature: the best token of each slice of a row, after
// bias and penalties
//
//   logits [R, V] f32   ->   slices [R, ceil(V / 2048)]
//
// grid (ceil(V / 2048), R): a workgroup owns a slice of a row.
#import "lib/step.wgsl"
#import "lib/token.wgsl"
#import "lib/choose/chooser.wgsl"
#import "lib/choose/slice.wgsl"
#import "lib/choose/scan.wgsl"
#import "lib/choose/adjust.wgsl"

struct Params {
  V: u32,
  stride: u32, // floats a row of logits
  slices: u32, // a row
  first: u32, // row of the dispatch
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read> outputs: array<u32>;
@group(0) @binding(4) var<storage, read> choosers: array<Chooser>;
@group(0) @binding(5) var<storage, read> tables: array<u32>;
@group(0) @binding(6) var<storage, read> logits: array<u32>;
@group(0) @binding(7) var<storage, read_write> slices: array<Slice>;

@compute @workgroup_size(RANKED)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = p.first + group.z;
  if (row >= count.n) {
    return;
  }
  let chooser = choosers[token_at(outputs[row]).chooser];
  let end = min((group.x + 1) * SLICE, p.V);
  var best = vec2u();
  for (var id = group.x * SLICE + lane; id < end; id += RANKED) {
    best = best_of(best, adjusted(chooser, row, id));
  }
  best = workgroup_best(best, lane);
  if (lane == 0) {
    slices[row * p.slices + group.x] = Slice(best, 0);
  }
}
