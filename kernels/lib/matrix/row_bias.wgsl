// The bias of a product, where BIAS is 1: a number a row of the part, in its binding behind the
// rows (part.wgsl), so that no kernel needs a binding more.
override BIAS: u32;

fn bias_of(row: u32) -> f32 {
  return bitcast<vec4f>(w[part.biases + row / 4])[row % 4];
}
