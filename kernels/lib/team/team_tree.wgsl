// Sums over a team of TEAM (a power of two, eight at least) invocations, in workgroup memory: needs
// no feature.
#import "lib/team/reduce.wgsl"

struct Sums {
  rows: Rows8,
  squares: f32,
}

var<workgroup> team_partial: array<Sums, THREADS>;

fn plus(a: Sums, b: Sums) -> Sums {
  return Sums(Rows8(a.rows.lo + b.rows.lo, a.rows.hi + b.rows.hi), a.squares + b.squares);
}

// Every invocation gets its team's sums, by way of eight sums of every eighth: two barriers,
// whatever the team. Call it in uniform control flow.
fn team_sum(value: Sums, lane: Lane) -> Sums {
  let first = lane.index / TEAM * TEAM;
  let i = lane.index % TEAM;
  team_partial[lane.index] = value;
  workgroupBarrier();
  if (i < 8) {
    var sum = value;
    for (var j = i + 8; j < TEAM; j += 8) {
      sum = plus(sum, team_partial[first + j]);
    }
    team_partial[lane.index] = sum;
  }
  workgroupBarrier();
  var sum = team_partial[first];
  for (var j = 1u; j < 8; j++) {
    sum = plus(sum, team_partial[first + j]);
  }
  workgroupBarrier(); // the next call overwrites what the slowest invocation still reads
  return sum;
}
