// Many sums over a team of TEAM (a power of two) invocations, one after the other, by way of eight
// sums of every eighth in workgroup memory: needs no feature. A team may be one invocation alone.
// Sums are four rows of weights by one row of x; uses the shape's sizes.
#import "lib/team/reduce.wgsl"

const SLOTS = TILE_X * FEW_ROWS / 4;
// A name for the size: wgpu (naga 29) panics over a formula of overrides that are declared later.
override TEAM_SUMS: u32 = THREADS / TEAM * min(TEAM, 8) * SLOTS;
var<workgroup> team_sums: array<vec4f, TEAM_SUMS>;

// Adds up `value` over the team. Contains barriers: call it in uniform control flow.
fn put_sum(slot: u32, value: vec4f, lane: Lane) {
  let i = lane.index % TEAM;
  partial[lane.index] = value;
  workgroupBarrier();
  if (i < min(TEAM, 8)) {
    var sum = value;
    for (var j = 8u; i + j < TEAM; j += 8) {
      sum += partial[lane.index + j];
    }
    team_sums[(lane.index / TEAM * min(TEAM, 8) + i) * SLOTS + slot] = sum;
  }
  workgroupBarrier();
}

// After a barrier: the sum of the invocation's team for row r of weights and the m-th row of x.
fn sum_of(m: u32, r: u32, lane: Lane) -> f32 {
  let first = lane.index / TEAM * min(TEAM, 8) * SLOTS + m * (FEW_ROWS / 4) + r / 4;
  var sum = 0.0;
  for (var i = 0u; i < min(TEAM, 8); i++) {
    sum += team_sums[first + i * SLOTS][r % 4];
  }
  return sum;
}
