// A panel of quantized weights by SPAN times eight columns, in f16: a level becomes a number by
// being the last bits of 1024.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"

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

fn products(expert: u32, row: u32, unit: u32, us: array<Unit, SPAN>) -> Rows8 {
  let panel = row / 8;
  let lo = scales4(expert, panel, 0, unit); // before the sums: loads take long
  let hi = scales4(expert, panel, 1, unit);
  var y = Rows8();
  var sum = 0.0;
  for (var k = 0u; k < SPAN; k++) {
    let u = us[k];
    y.lo += four_rows(expert, panel, 0, unit, k, u);
    y.hi += four_rows(expert, panel, 1, unit, k, u);
    if (OFFSETS) {
      sum += f32(dot(u.a + u.b, vec2h(1)) + dot(u.c + u.d, vec2h(1)));
    }
  }
  y.lo *= lo;
  y.hi *= hi;
  if (OFFSETS) {
    y.lo -= offsets4(expert, panel, 0, unit) * sum;
    y.hi -= offsets4(expert, panel, 1, unit) * sum;
  }
  return y;
}
