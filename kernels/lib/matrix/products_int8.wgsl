// A panel of quantized weights by int8 activations, four products an instruction. Units of a
// Group lie in one group of 32 columns of the activations, and have its scale.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"
#import "lib/matrix/products_grouped.wgsl"

struct Group {
  lo: vec4i,
  hi: vec4i,
  sum: i32, // of the activations
  scale: f32,
}

// Levels around 128 become int8 by flipping the sign bit. Those around another zero point are int8
// as they are, and it is taken off by the sum of the activations.
fn one_row(lo: u32, hi: u32, u: Unit) -> i32 {
  if (ZERO == 128) {
    return dot4I8Packed(lo ^ 0x80808080, u.a) + dot4I8Packed(hi ^ 0x80808080, u.b);
  }
  return dot4I8Packed(lo, u.a) + dot4I8Packed(hi, u.b);
}

fn four_rows(expert: u32, panel: u32, half: u32, unit: u32, k: u32, u: Unit) -> vec4i {
  let lo = levels4(expert, panel, half, unit, 2 * k);
  let hi = levels4(expert, panel, half, unit, 2 * k + 1);
  return vec4i(one_row(lo.x, hi.x, u), one_row(lo.y, hi.y, u), one_row(lo.z, hi.z, u), one_row(lo.w, hi.w, u));
}

fn with_unit(group: Group, expert: u32, panel: u32, unit: u32, k: u32, t: u32) -> Group {
  let u = unit_at(t, unit + k);
  let lo = group.lo + four_rows(expert, panel, 0, unit, k, u);
  let hi = group.hi + four_rows(expert, panel, 1, unit, k, u);
  return Group(lo, hi, group.sum + u.sum, u.scale);
}

fn scaled(group: Group, scales: Rows8, expert: u32, panel: u32, unit: u32) -> Sums {
  var lo = group.lo;
  var hi = group.hi;
  if (ZERO != 0 && ZERO != 128) {
    lo -= vec4i(ZERO * group.sum);
    hi -= vec4i(ZERO * group.sum);
  }
  var rows = Rows8(group.scale * scales.lo * vec4f(lo), group.scale * scales.hi * vec4f(hi));
  if (OFFSETS) {
    let sum = group.scale * f32(group.sum);
    rows.lo -= offsets4(expert, panel, 0, unit) * sum;
    rows.hi -= offsets4(expert, panel, 1, unit) * sum;
  }
  return Sums(rows, 0);
}
