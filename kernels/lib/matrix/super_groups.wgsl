// Groups of 256 columns a row, of formats whose columns are padded to them.
fn super_groups() -> u32 {
  return (part.groups + 7) / 8;
}
