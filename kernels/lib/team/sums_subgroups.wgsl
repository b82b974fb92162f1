// Many sums over a team of TEAM invocations, one after the other: each a subgroup operation, then a
// value a subgroup in workgroup memory. A team is whole subgroups, or all there is of one: the host
// sees to it. Sums are four rows of weights by one row of x; uses the shape's sizes.
#import "lib/team/reduce.wgsl"

const SLOTS = TILE_X * FEW_ROWS / 4;
// No subgroup is smaller than four. A name for the size: wgpu (naga 29) panics over a formula of
// overrides that are declared later.
override TEAM_SUMS: u32 = THREADS / 4 * SLOTS;
var<workgroup> team_sums: array<vec4f, TEAM_SUMS>;

// Adds up `value` over the team. Call it in uniform control flow.
fn put_sum(slot: u32, value: vec4f, lane: Lane) {
  let own = subgroupAdd(value);
  if (subgroupElect()) {
    team_sums[lane.subgroup * SLOTS + slot] = own;
  }
}

// After a barrier: the sum of the invocation's team for row r of weights and the m-th row of x.
fn sum_of(m: u32, r: u32, lane: Lane) -> f32 {
  let each = max(1, lane.subgroups * TEAM / THREADS); // subgroups of a team
  let first = lane.index / TEAM * each * SLOTS + m * (FEW_ROWS / 4) + r / 4;
  var sum = 0.0;
  for (var i = 0u; i < each; i++) {
    sum += team_sums[first + i * SLOTS][r % 4];
  }
  return sum;
}
