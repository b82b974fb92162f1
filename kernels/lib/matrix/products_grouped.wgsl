// A panel of quantized weights by SPAN units of activations, a Group, of which products_*.wgsl has
// what it sums (Group, with_unit) and how it ends (scaled).

// Units unit .. of row t of x by rows row .. row + 7. They stand here one after the other, not in a
// loop: compilers keep loops, even of one turn, and then load nothing ahead.
fn products(expert: u32, row: u32, unit: u32, t: u32) -> Sums {
  let panel = row / 8;
  // before the sums: loads take long
  let scales = Rows8(scales4(expert, panel, 0, unit), scales4(expert, panel, 1, unit));
  var group = with_unit(Group(), expert, panel, unit, 0, t);
  if (SPAN == 2) {
    group = with_unit(group, expert, panel, unit, 1, t);
  }
  return scaled(group, scales, expert, panel, unit);
}
