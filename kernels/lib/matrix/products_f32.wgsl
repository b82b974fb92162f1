// A panel of quantized weights by f32 activations: the zero point is taken off once, by the sum of
// the activations.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/columns_float.wgsl"
#import "lib/matrix/products_grouped.wgsl"

fn four_rows(expert: u32, panel: u32, half: u32, unit: u32, k: u32, u: Unit) -> vec4f {
  let lo = levels4(expert, panel, half, unit, 2 * k);
  let hi = levels4(expert, panel, half, unit, 2 * k + 1);
  return vec4f(dot(bytes4(lo.x), u.a), dot(bytes4(lo.y), u.a), dot(bytes4(lo.z), u.a), dot(bytes4(lo.w), u.a))
    + vec4f(dot(bytes4(hi.x), u.b), dot(bytes4(hi.y), u.b), dot(bytes4(hi.z), u.b), dot(bytes4(hi.w), u.b));
}

alias Four = vec4f;

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
  let y = start + weight * scales4(expert, panel, half, unit) * (rows - vec4f(ZERO * sum));
  if (OFFSETS) {
    return y - offsets4(expert, panel, half, unit) * (weight * sum);
  }
  return y;
}
