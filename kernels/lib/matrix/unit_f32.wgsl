// Activations as f32: eight columns of a row at a time. Rows are groups * 8 vec4f; their
// padding is zero.
@group(0) @binding(3) var<storage, read> x: array<vec4f>;

struct Unit {
  a: vec4f, // columns 8 unit .. 8 unit + 3
  b: vec4f,
  sum: f32, // of all eight: what a weight's zero point is multiplied by
}

fn unit_of(x: Eight) -> Unit {
  return Unit(x.lo, x.hi, dot(x.lo + x.hi, vec4f(1)));
}
