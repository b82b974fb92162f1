// Groups of 32 columns a row, of formats whose columns are padded to no more.
fn padded_groups() -> u32 {
  return part.groups;
}
