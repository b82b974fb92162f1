// Eight columns of a row, and a value for each of eight rows: what products pass around.

// Eight consecutive weights of a row: columns 8u .. 8u + 7.
struct Eight {
  lo: vec4f,
  hi: vec4f,
}

// A value for each of a panel's eight rows: 0 .. 3 and 4 .. 7.
struct Rows8 {
  lo: vec4f,
  hi: vec4f,
}

fn row_of(rows: Rows8, i: u32) -> f32 {
  return select(rows.lo[i % 4], rows.hi[i % 4], i >= 4);
}
