// Second half of choosing without temperature: the best token of a row
//
//   slices [R, ceil(V / 2048)]
//   ->   ids [R] u32, UNDECIDED where a logit is NaN or infinite; and the step's next tokens
//
// grid R: a workgroup owns a row.
#import "lib/step.wgsl"
#import "lib/grid.wgsl"
#import "lib/choose/chooser.wgsl"
#import "lib/choose/slice.wgsl"
#import "lib/choose/scan.wgsl"
#import "lib/choose/chosen.wgsl"

struct Params {
  V: u32,
  slices: u32, // a row
  first: u32, // row of the dispatch
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> outputs: array<u32>;
@group(0) @binding(3) var<storage, read> slices: array<Slice>;
@group(0) @binding(4) var<storage, read_write> step: array<u32>;
@group(0) @binding(5) var<storage, read_write> choosers: array<Chooser>;
@group(0) @binding(6) var<storage, read_write> tables: array<u32>;
@group(0) @binding(7) var<storage, read_write> ids: array<u32>;

@compute @workgroup_size(RANKED)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = p.first + group_index(group, groups);
  if (row >= count.n) {
    return;
  }
  var best = vec2u();
  for (var s = lane; s < p.slices; s += RANKED) {
    best = best_of(best, slices[row * p.slices + s].best);
  }
  best = workgroup_best(best, lane);
  if (lane == 0) {
    let t = outputs[row];
    let entry = step[t * 4 + 3];
    let decided = best.x != BANNED && best.x != BROKEN && choosers[entry].undecided == 0;
    chosen(row, t, select(UNDECIDED, ~best.y, decided), choosers[entry].random);
  }
}
