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
  let sums = vec4i(one_row(lo.x, hi.x, u), one_row(lo.y, hi.y, u), one_row(lo.z, hi.z, u), one_row(lo.w, hi.w, u));
  let scaled = u.scale * scales4(expert, panel, half, unit) * vec4f(sums);
  if (OFFSETS) {
    return scaled - u.scale * offsets4(expert, panel, half, unit) * f32(u.sum);
  }
  return scaled;
}

fn products(expert: u32, row: u32, unit: u32, u: Unit) -> Rows8 {
  return Rows8(four_rows(expert, row / 8, 0, unit, u), four_rows(expert, row / 8, 1, unit, u));
}
