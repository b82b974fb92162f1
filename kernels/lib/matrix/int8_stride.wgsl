// Words from one row of int8 activations to the next: groups * 8 of four columns each, then a scale
// (f32) a group; whole elements of four words, so that rows are read by those.
fn int8_stride(groups: u32) -> u32 {
  return groups * 8 + (groups + 3) / 4 * 4;
}
