// Sums over a team of TEAM (a power of two) invocations, in workgroup memory: needs no feature.
#import "lib/reduce.wgsl"

struct Sums {
  rows: Rows8,
  squares: f32,
}

var<workgroup> team_partial: array<Sums, THREADS>;

// Every invocation gets its team's sums. Contains barriers: call it in uniform control flow.
fn team_sum(value: Sums, lane: Lane) -> Sums {
  team_partial[lane.index] = value;
  for (var half = TEAM / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (lane.index % TEAM < half) {
      let other = team_partial[lane.index + half];
      team_partial[lane.index].rows.lo += other.rows.lo;
      team_partial[lane.index].rows.hi += other.rows.hi;
      team_partial[lane.index].squares += other.squares;
    }
  }
  workgroupBarrier();
  let sum = team_partial[lane.index / TEAM * TEAM];
  workgroupBarrier(); // the next call overwrites what the slowest invocation still reads
  return sum;
}
