// Activations rounded to f16 for its faster arithmetic: eight columns at a time. Rows are groups *
// 8 vec4f; their padding is zero.
enable f16;
@group(0) @binding(3) var<storage, read> x: array<vec4f>;

// Pairs of columns as the bytes of a word give them: (0, 2) (1, 3) (4, 6) (5, 7).
struct Unit {
  a: vec2h,
  b: vec2h,
  c: vec2h,
  d: vec2h,
}

// f16 ends at 65504 and activations have outliers: a sixteenth of them leaves room for the sum of a
// word's products.
const UNIT_SCALE = 16.0;

fn unit_of(x: Eight) -> Unit {
  let lo = vec4h(x.lo / UNIT_SCALE);
  let hi = vec4h(x.hi / UNIT_SCALE);
  return Unit(lo.xz, lo.yw, hi.xz, hi.yw);
}
