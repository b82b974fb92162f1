// Eight columns of a row of f32 activations for a product, normed or not (the kernel imports
// norm_first.wgsl or no_norm.wgsl).
#import "lib/matrix/unit.wgsl"

struct Columns {
  unit: Unit,
  squares: f32, // their sum, before the norm's weights
}

fn columns_at(t: u32, unit: u32) -> Columns {
  let i = t * part.groups * 8 + unit * 2;
  let u = Eight(x[i], x[i + 1]);
  var squares = 0.0;
  if (NORM == 1) {
    squares = dot(u.lo, u.lo) + dot(u.hi, u.hi);
  }
  return Columns(unit_of(normed(u, unit)), squares);
}
