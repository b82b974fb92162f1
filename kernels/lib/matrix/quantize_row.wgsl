// A row of x to int8, each group of 32 columns with a scale of its own: a row of y is groups * 8
// words of four columns, then the scales (f32). Uses the kernel's x, y, NORM and norm.
#import "lib/matrix/quants.wgsl"
#import "lib/matrix/int8_stride.wgsl"

// Row t, first times `factor` and the norm's weights where NORM is 1; invocation `lane` of `lanes`
// takes whole groups.
fn quantize_row(t: u32, groups: u32, factor: f32, lane: u32, lanes: u32) {
  let start = t * groups * 8;
  let to = t * int8_stride(groups);
  for (var g = lane; g < groups; g += lanes) {
    var values: array<vec4f, 8>;
    var top = vec4f();
    for (var i = 0u; i < 8; i++) {
      values[i] = x[start + g * 8 + i] * factor;
      if (NORM == 1) {
        values[i] *= norm[g * 8 + i];
      }
      top = max(top, abs(values[i]));
    }
    let most = max(max(top.x, top.y), max(top.z, top.w));
    for (var i = 0u; i < 8; i++) {
      y[to + g * 8 + i] = quants4(values[i], most);
    }
    y[to + groups * 8 + g] = bitcast<u32>(most / 127);
  }
}
