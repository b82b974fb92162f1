// A panel of quantized weights by SPAN times eight columns: the zero point is taken off once, by
// the sum of the activations.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"

fn four_rows(expert: u32, panel: u32, half: u32, unit: u32, k: u32, u: Unit) -> vec4f {
  let lo = levels4(expert, panel, half, unit, 2 * k);
  let hi = levels4(expert, panel, half, unit, 2 * k + 1);
  var sums = vec4f(dot(bytes4(lo.x), u.a), dot(bytes4(lo.y), u.a), dot(bytes4(lo.z), u.a), dot(bytes4(lo.w), u.a))
    + vec4f(dot(bytes4(hi.x), u.b), dot(bytes4(hi.y), u.b), dot(bytes4(hi.z), u.b), dot(bytes4(hi.w), u.b));
  if (ZERO != 0) {
    sums -= vec4f(ZERO * u.sum);
  }
  return sums;
}

fn products(expert: u32, row: u32, unit: u32, us: array<Unit, SPAN>) -> Rows8 {
  let panel = row / 8;
  let lo = scales4(expert, panel, 0, unit); // before the sums: loads take long
  let hi = scales4(expert, panel, 1, unit);
  var y = Rows8();
  var sum = 0.0;
  for (var k = 0u; k < SPAN; k++) {
    y.lo += four_rows(expert, panel, 0, unit, k, us[k]);
    y.hi += four_rows(expert, panel, 1, unit, k, us[k]);
    sum += us[k].sum;
  }
  y.lo *= lo;
  y.hi *= hi;
  if (OFFSETS) {
    y.lo -= offsets4(expert, panel, 0, unit) * sum;
    y.hi -= offsets4(expert, panel, 1, unit) * sum;
  }
  return y;
}
