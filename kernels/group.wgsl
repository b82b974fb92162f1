// Sorts assignments (token, choice) by expert, in ascending order within an expert, and without
// atomics, so that the result is the same every time
//
//   ids [T K] u32   ->   starts [E + 1] u32   sorted [T K] u32
//
// Expert e has sorted[starts[e]] .. sorted[starts[e + 1] - 1].
// Example, K = 2: ids [1, 0, 1, 2] -> starts [0, 1, 3, 4], sorted [1, 0, 2, 3]. Ids from E on
// belong to no expert: `sorted` is undefined from starts[E] on.
//
// grid E: a workgroup owns an expert. Each invocation counts its own run of assignments; a prefix
// sum tells it where to write.
#import "lib/step.wgsl"

struct Params {
  E: u32,
  K: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> starts: array<u32>;
@group(0) @binding(4) var<storage, read_write> sorted: array<u32>;

const THREADS = 128u;
var<workgroup> before: array<vec2u, THREADS>; // assignments of lower experts; assignments of this one

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let expert = group.x;
  let assignments = count.n * p.K;
  let run = (assignments + THREADS - 1) / THREADS;
  let first = min(lane * run, assignments);
  let end = min(first + run, assignments);
  var found = vec2u();
  for (var s = first; s < end; s++) {
    found += vec2u(u32(ids[s] < expert), u32(ids[s] == expert));
  }
  before[lane] = found;
  workgroupBarrier();
  for (var step = 1u; step < THREADS; step *= 2) {
    var sum = before[lane];
    if (lane >= step) {
      sum += before[lane - step];
    }
    workgroupBarrier();
    before[lane] = sum;
    workgroupBarrier();
  }
  let start = before[THREADS - 1].x;
  var at = start + before[lane].y - found.y;
  for (var s = first; s < end; s++) {
    if (ids[s] == expert) {
      sorted[at] = s;
      at++;
    }
  }
  if (lane == 0) {
    starts[expert] = start;
    if (expert == p.E - 1) {
      starts[p.E] = start + before[THREADS - 1].y;
    }
  }
}
