// Sums over a team of TEAM invocations: one subgroup operation, then one value a subgroup.
// A team is whole subgroups, or all there is of one: the host sees to it.
#import "lib/team/reduce.wgsl"

struct Sums {
  rows: Rows8,
  squares: f32,
}

// A name for the size: wgpu (naga 29) panics over a formula of overrides that are declared later.
override TEAM_PARTIALS: u32 = THREADS / 4; // no subgroup is smaller than four
var<workgroup> team_partial: array<Sums, TEAM_PARTIALS>;

// Every invocation gets its team's sums. Contains barriers: call it in uniform control flow.
fn team_sum(value: Sums, lane: Lane) -> Sums {
  var own = Sums(Rows8(subgroupAdd(value.rows.lo), subgroupAdd(value.rows.hi)), 0);
  if (NORM == 1) {
    own.squares = subgroupAdd(value.squares);
  }
  if (subgroupElect()) {
    team_partial[lane.subgroup] = own;
  }
  workgroupBarrier();
  // Subgroups of a team: not more than its invocations. That no compiler knows the number keeps it
  // from unrolling the loop, whose addresses would lie in registers that the products need.
  let each = min(max(1, lane.subgroups * TEAM / THREADS), part.groups * TEAM);
  let first = lane.index / TEAM * each;
  var sum = team_partial[first];
  for (var i = 1u; i < each; i++) {
    sum.rows.lo += team_partial[first + i].rows.lo;
    sum.rows.hi += team_partial[first + i].rows.hi;
    sum.squares += team_partial[first + i].squares;
  }
  workgroupBarrier(); // the next call overwrites what the slowest invocation still reads
  return sum;
}
