// Eight rows of f32 weights by eight columns of f32 activations.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/columns_float.wgsl"

fn products(sum: Sums, weight: f32, expert: u32, row: u32, unit: u32, t: u32) -> Sums {
  let columns = columns_at(t, unit);
  let u = columns.unit;
  let at = panel_at(expert, row) + unit * 16;
  let lo = w[at] * u.a.x + w[at + 2] * u.a.y + w[at + 4] * u.a.z + w[at + 6] * u.a.w
    + w[at + 8] * u.b.x + w[at + 10] * u.b.y + w[at + 12] * u.b.z + w[at + 14] * u.b.w;
  let hi = w[at + 1] * u.a.x + w[at + 3] * u.a.y + w[at + 5] * u.a.z + w[at + 7] * u.a.w
    + w[at + 9] * u.b.x + w[at + 11] * u.b.y + w[at + 13] * u.b.z + w[at + 15] * u.b.w;
  return Sums(Rows8(sum.rows.lo + weight * lo, sum.rows.hi + weight * hi), sum.squares + columns.squares);
}
