// Columns of four rows that all invocations multiply by: each loads half of the eight of one row,
// every eighth invocation the same ones, and they tell each other. Subgroups of four, the smallest,
// load twice. f32 only.
#import "lib/team/reduce.wgsl"

// What an invocation loads, as indexes of x at step 0: for the first of the rows, for the last.
struct Share {
  first: u32,
  last: u32,
}

// What it has loaded.
struct Loaded {
  first: vec4f,
  last: vec4f,
}

fn share_of(rows: vec4u, lane: Lane) -> Share {
  let place = lane.place % 8;
  let each = part.groups * STEPS * 2;
  let last = select(0u, 2u, lane.size < 8);
  return Share(rows[place / 2] * each + place % 2, rows[min(last + place / 2, 3)] * each + place % 2);
}

fn load_share(share: Share, step: u32, lane: Lane) -> Loaded {
  let first = x[share.first + step * 2];
  var last = first;
  if (lane.size < 8) {
    last = x[share.last + step * 2];
  }
  return Loaded(first, last);
}

// The columns of one of the four rows, m; `row` as share_of() got it. Call it in uniform control
// flow.
fn shared_columns(loaded: Loaded, m: u32, row: u32, step: u32, lane: Lane) -> Columns {
  switch m {
    case 0: {
      return Columns(subgroupBroadcast(loaded.first, 0), subgroupBroadcast(loaded.first, 1));
    }
    case 1: {
      return Columns(subgroupBroadcast(loaded.first, 2), subgroupBroadcast(loaded.first, 3));
    }
    case 2: {
      return Columns(
        select(subgroupBroadcast(loaded.last, 4), subgroupBroadcast(loaded.last, 0), lane.size < 8),
        select(subgroupBroadcast(loaded.last, 5), subgroupBroadcast(loaded.last, 1), lane.size < 8),
      );
    }
    default: {
      return Columns(
        select(subgroupBroadcast(loaded.last, 6), subgroupBroadcast(loaded.last, 2), lane.size < 8),
        select(subgroupBroadcast(loaded.last, 7), subgroupBroadcast(loaded.last, 3), lane.size < 8),
      );
    }
  }
}
