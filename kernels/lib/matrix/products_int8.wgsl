// A panel of quantized weights by int8 activations, four products an instruction. SPAN units lie in
// one group of 32 columns of the activations, and have its scale.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"
#import "lib/matrix/products_grouped.wgsl"

struct Columns {
  unit: Unit,
  squares: f32, // 0: rows are rounded after their norm
}

fn columns_at(t: u32, unit: u32) -> Columns {
  return Columns(unit_at(t, unit), 0);
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

alias Four = vec4i;

// Levels of four rows by unit u, and by v where SPAN is 2.
fn half_panel(expert: u32, panel: u32, half: u32, unit: u32, u: Unit, v: Unit) -> Four {
  let rows = four_rows(expert, panel, half, unit, 0, u);
  if (SPAN == 2) {
    return rows + four_rows(expert, panel, half, unit, 1, v);
  }
  return rows;
}

// `start` and `weight` times these rows.
fn plus_scaled(
  start: vec4f, weight: f32, rows: Four, expert: u32, panel: u32, half: u32, unit: u32, u: Unit, v: Unit,
) -> vec4f {
  var sum = u.sum;
  if (SPAN == 2) {
    sum += v.sum;
  }
  var products = rows;
  if (ZERO != 0 && ZERO != 128) {
    products -= vec4i(ZERO * sum);
  }
  let scale = weight * u.scale;
  let y = start + scale * scales4(expert, panel, half, unit) * vec4f(products);
  if (OFFSETS) {
    return y - offsets4(expert, panel, half, unit) * (scale * f32(sum));
  }
  return y;
}
