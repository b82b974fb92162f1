// A panel of quantized weights by activations in f16: a level becomes a number by
// being the last bits of 1024.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/columns_float.wgsl"
#import "lib/matrix/products_grouped.wgsl"

struct Group {
  rows: Rows8,
  sum: f32, // of the activations, for OFFSETS
  squares: f32,
}

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

fn with_unit(group: Group, expert: u32, panel: u32, unit: u32, k: u32, t: u32) -> Group {
  let columns = columns_at(t, unit + k);
  let u = columns.unit;
  let lo = group.rows.lo + u.scale * four_rows(expert, panel, 0, unit, k, u);
  let hi = group.rows.hi + u.scale * four_rows(expert, panel, 1, unit, k, u);
  var sum = group.sum;
  if (OFFSETS) {
    sum += u.scale * f32(dot(u.a + u.b, vec2h(1)) + dot(u.c + u.d, vec2h(1)));
  }
  return Group(Rows8(lo, hi), sum, group.squares + columns.squares);
}

fn scaled(group: Group, scales: Rows8, expert: u32, panel: u32, unit: u32) -> Sums {
  var rows = Rows8(scales.lo * group.rows.lo, scales.hi * group.rows.hi);
  if (OFFSETS) {
    rows.lo -= offsets4(expert, panel, 0, unit) * group.sum;
    rows.hi -= offsets4(expert, panel, 1, unit) * group.sum;
  }
  return Sums(rows, group.squares);
}
