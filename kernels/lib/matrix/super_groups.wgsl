// Groups of 256 columns a row, of formats whose columns are padded to them; and of 32.
fn super_groups() -> u32 {
  return (part.groups + 7) / 8;
}

fn padded_groups() -> u32 {
  return super_groups() * 8;
}
