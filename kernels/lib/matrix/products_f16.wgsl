// A panel of quantized weights by activations in f16: a level becomes a number by
// being the last bits of 1024.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/columns_float.wgsl"
#import "lib/matrix/products_grouped.wgsl"

// Every other level of a word, less the zero point.
fn levels2(word: u32) -> vec2h {
  return vec2h(unpack2x16float((word & 0x00ff00ff) | 0x64006400)) - vec2h(1024 + ZERO);
}

// Products of wide levels are large: each pair is summed by itself.
fn one_row(lo: u32, hi: u32, u: Unit) -> f32 {
  let a = dot(levels2(lo), u.a);
  let b = dot(levels2(lo >> 8), u.b);
  let c = dot(levels2(hi), u.c);
  let d = dot(levels2(hi >> 8), u.d);
  if (WIDE) {
    return f32(a) + f32(b) + f32(c) + f32(d);
  }
  return f32(a + b) + f32(c + d);
}

fn four_rows(expert: u32, panel: u32, half: u32, unit: u32, k: u32, u: Unit) -> vec4f {
  let lo = levels4(expert, panel, half, unit, 2 * k);
  let hi = levels4(expert, panel, half, unit, 2 * k + 1);
  return vec4f(one_row(lo.x, hi.x, u), one_row(lo.y, hi.y, u), one_row(lo.z, hi.z, u), one_row(lo.w, hi.w, u));
}

// Of all eight columns, for OFFSETS.
fn sum_of_unit(u: Unit) -> f32 {
  return u.scale * f32(dot(u.a + u.b, vec2h(1)) + dot(u.c + u.d, vec2h(1)));
}

alias Four = vec4f;

// Levels of four rows, less the zero point, by unit u, and by v where SPAN is 2.
fn half_panel(expert: u32, panel: u32, half: u32, unit: u32, u: Unit, v: Unit) -> Four {
  let rows = u.scale * four_rows(expert, panel, half, unit, 0, u);
  if (SPAN == 2) {
    return rows + v.scale * four_rows(expert, panel, half, unit, 1, v);
  }
  return rows;
}

// `start` and `weight` times these rows.
fn plus_scaled(
  start: vec4f, weight: f32, rows: Four, expert: u32, panel: u32, half: u32, unit: u32, u: Unit, v: Unit,
) -> vec4f {
  let y = start + weight * scales4(expert, panel, half, unit) * rows;
  if (OFFSETS) {
    var sum = sum_of_unit(u);
    if (SPAN == 2) {
      sum += sum_of_unit(v);
    }
    return y - offsets4(expert, panel, half, unit) * (weight * sum);
  }
  return y;
}
