// Columns of four rows that all invocations multiply by, where there are no subgroups: each loads
// all of them.
#import "lib/team/reduce.wgsl"

alias Share = u32;
alias Loaded = u32;

fn share_of(rows: vec4u, lane: Lane) -> Share {
  return 0;
}

fn load_share(share: Share, step: u32, lane: Lane) -> Loaded {
  return 0;
}

fn shared_columns(loaded: Loaded, m: u32, row: u32, step: u32, lane: Lane) -> Columns {
  return columns_at(row, step);
}
