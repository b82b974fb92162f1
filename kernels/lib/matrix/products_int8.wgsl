// A panel of quantized weights by eight columns of int8 activations, four products an instruction.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"

// Levels around 128 become int8 by flipping the sign bit. Those around another zero point are int8
// as they are, and it is taken off by the sum of the activations.
fn one_row(lo: u32, hi: u32, u: Unit) -> i32 {
  if (ZERO == 128) {
    return dot4I8Packed(lo ^ 0x80808080, u.a) + dot4I8Packed(hi ^ 0x80808080, u.b);
  }
  return dot4I8Packed(lo, u.a) + dot4I8Packed(hi, u.b) - ZERO * u.sum;
}

fn four_rows(expert: u32, panel: u32, half: u32, unit: u32, u: Unit) -> vec4f {
  let lo = levels4(expert, panel, half, unit, 0);
  let hi = levels4(expert, panel, half, unit, 1);
  return vec4f(vec4i(one_row(lo.x, hi.x, u), one_row(lo.y, hi.y, u), one_row(lo.z, hi.z, u), one_row(lo.w, hi.w, u)));
}

fn products(expert: u32, row: u32, unit: u32, u: Unit) -> Rows8 {
  let panel = row / 8;
  let lo = scales4(expert, panel, 0, unit); // before the sums: loads take long
  let hi = scales4(expert, panel, 1, unit);
  var y = Rows8(
    u.scale * lo * four_rows(expert, panel, 0, unit, u),
    u.scale * hi * four_rows(expert, panel, 1, unit, u),
  );
  if (OFFSETS) {
    let sum = u.scale * f32(u.sum);
    y.lo -= offsets4(expert, panel, 0, unit) * sum;
    y.hi -= offsets4(expert, panel, 1, unit) * sum;
  }
  return y;
}
