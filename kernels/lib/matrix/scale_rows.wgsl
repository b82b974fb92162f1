// Scales of rows 0 .. 3 of a block, and of 4 .. 7, from their words.
fn scale_rows(s: vec4u) -> Rows8 {
  return Rows8(
    vec4f(unpack2x16float(s.x), unpack2x16float(s.y)),
    vec4f(unpack2x16float(s.z), unpack2x16float(s.w)),
  );
}
