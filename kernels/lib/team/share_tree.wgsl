// Columns that all invocations multiply by, where there are no subgroups: each loads all of them.
#import "lib/team/reduce.wgsl"

fn shared_columns(row: u32, step: u32, lane: Lane) -> Columns {
  return columns_at(row, step);
}
