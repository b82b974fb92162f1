// Many sums over a team of TEAM invocations, one after the other: each within subgroups first, then
// a value a subgroup in workgroup memory. A team is whole subgroups, or all there is of one: the
// host sees to it. Sums are four rows of weights by one row of x; uses the shape's sizes.
#import "lib/team/reduce.wgsl"

const SUMS = TILE_X * FEW_ROWS;
// No subgroup is smaller than four. A name for the size: wgpu (naga 29) panics over a formula of
// overrides that are declared later.
override TEAM_SUMS: u32 = THREADS / 4 * SUMS;
var<workgroup> team_sums: array<f32, TEAM_SUMS>; // [subgroup, row of x, row of weights]

// Adds up `value` over the team. Four invocations side by side share its four sums, one each, which
// takes half of the instructions of subgroupAdd(). Call it in uniform control flow.
fn put_sum(slot: u32, value: vec4f, lane: Lane) {
  let odd = lane.place % 2 == 1;
  let two = select(value.xy, value.zw, odd) + subgroupShuffleXor(select(value.zw, value.xy, odd), 1);
  let late = lane.place / 2 % 2 == 1;
  var one = select(two.x, two.y, late) + subgroupShuffleXor(select(two.y, two.x, late), 2);
  let all = min(lane.size, THREADS); // a subgroup's invocations: none is further apart
  one += select(0, subgroupShuffleXor(one, 4), all > 4);
  one += select(0, subgroupShuffleXor(one, 8), all > 8);
  one += select(0, subgroupShuffleXor(one, 16), all > 16);
  one += select(0, subgroupShuffleXor(one, 32), all > 32);
  one += select(0, subgroupShuffleXor(one, 64), all > 64);
  if (lane.place < 4) {
    team_sums[lane.subgroup * SUMS + slot * 4 + lane.place % 2 * 2 + lane.place / 2] = one;
  }
}

// After a barrier: the sum of the invocation's team for row r of weights and the m-th row of x.
fn sum_of(m: u32, r: u32, lane: Lane) -> f32 {
  let each = max(1, lane.subgroups * TEAM / THREADS); // subgroups of a team
  let first = lane.index / TEAM * each * SUMS + m * FEW_ROWS + r;
  var sum = 0.0;
  for (var i = 0u; i < each; i++) {
    sum += team_sums[first + i * SUMS];
  }
  return sum;
}
