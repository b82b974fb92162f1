// A panel of quantized weights by SPAN units of activations. products_*.wgsl has what four rows are
// summed in, Four, and how that begins (half_panel) and ends (plus_scaled).

// `sum` and `weight` times units unit .. of row t of x by rows row .. row + 7. They stand here one
// after the other, not in a loop: compilers keep loops, even of one turn, and then load nothing
// ahead. Scales come last, so that they do not lie in registers while levels are unpacked; where
// there is room, compilers load them early all the same.
fn products(sum: Sums, weight: f32, expert: u32, row: u32, unit: u32, t: u32) -> Sums {
  let panel = row / 8;
  let first = columns_at(t, unit);
  var second = first;
  var squares = sum.squares + first.squares;
  if (SPAN == 2) {
    second = columns_at(t, unit + 1);
    squares += second.squares;
  }
  let u = first.unit;
  let v = second.unit;
  let lo = half_panel(expert, panel, 0, unit, u, v);
  let hi = half_panel(expert, panel, 1, unit, u, v);
  let rows = Rows8(
    plus_scaled(sum.rows.lo, weight, lo, expert, panel, 0, unit, u, v),
    plus_scaled(sum.rows.hi, weight, hi, expert, panel, 1, unit, u, v),
  );
  return Sums(rows, squares);
}
