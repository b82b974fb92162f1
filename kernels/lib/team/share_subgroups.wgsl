// Columns that all invocations multiply by: each loads two of the eight, every fourth invocation
// the same ones, and they tell each other. No subgroup is smaller than four. f32 only.
#import "lib/team/reduce.wgsl"

// The same number of the first four invocations of a subgroup.
fn of_four(own: f32) -> vec4f {
  return vec4f(
    subgroupBroadcast(own, 0),
    subgroupBroadcast(own, 1),
    subgroupBroadcast(own, 2),
    subgroupBroadcast(own, 3),
  );
}

// Call it in uniform control flow.
fn shared_columns(row: u32, step: u32, lane: Lane) -> Columns {
  let at = (row * part.groups * STEPS + step) * 2;
  let own = lane.place % 4;
  return Columns(of_four(x[at][own]), of_four(x[at + 1][own]));
}
