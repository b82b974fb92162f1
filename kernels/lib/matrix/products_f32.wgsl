// A panel of quantized weights by f32 activations: the zero point is taken off once, by the sum of
// the activations.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/columns_float.wgsl"
#import "lib/matrix/products_grouped.wgsl"

struct Group {
  rows: Rows8, // of levels
  sum: f32, // of the activations
  squares: f32,
}

fn four_rows(expert: u32, panel: u32, half: u32, unit: u32, k: u32, u: Unit) -> vec4f {
  let lo = levels4(expert, panel, half, unit, 2 * k);
  let hi = levels4(expert, panel, half, unit, 2 * k + 1);
  return vec4f(dot(bytes4(lo.x), u.a), dot(bytes4(lo.y), u.a), dot(bytes4(lo.z), u.a), dot(bytes4(lo.w), u.a))
    + vec4f(dot(bytes4(hi.x), u.b), dot(bytes4(hi.y), u.b), dot(bytes4(hi.z), u.b), dot(bytes4(hi.w), u.b));
}

fn with_unit(group: Group, expert: u32, panel: u32, unit: u32, k: u32, t: u32) -> Group {
  let columns = columns_at(t, unit + k);
  let u = columns.unit;
  let lo = group.rows.lo + four_rows(expert, panel, 0, unit, k, u);
  let hi = group.rows.hi + four_rows(expert, panel, 1, unit, k, u);
  return Group(Rows8(lo, hi), group.sum + u.sum, group.squares + columns.squares);
}

fn scaled(group: Group, scales: Rows8, expert: u32, panel: u32, unit: u32) -> Sums {
  var rows = group.rows;
  if (ZERO != 0) {
    rows.lo -= vec4f(ZERO * group.sum);
    rows.hi -= vec4f(ZERO * group.sum);
  }
  rows.lo *= scales.lo;
  rows.hi *= scales.hi;
  if (OFFSETS) {
    rows.lo -= offsets4(expert, panel, 0, unit) * group.sum;
    rows.hi -= offsets4(expert, panel, 1, unit) * group.sum;
  }
  return Sums(rows, group.squares);
}
