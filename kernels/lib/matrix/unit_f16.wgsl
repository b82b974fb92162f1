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
  scale: f32, // what products with them have to be multiplied by
}

// f16 ends at 65504, and from 6e-5 down many devices take it for 0. So each unit has a scale, a
// power of two by which its largest column becomes 64 .. 128: levels of a byte (128 x 128 x 2) and
// weights up to 250 leave room for the sum of a word's products, and what is too small beside the
// largest column is below its rounding. Inf and NaN stay what they are.
fn unit_of(x: Eight) -> Unit {
  let each = max(abs(x.lo), abs(x.hi));
  let power = max(bitcast<u32>(max(max(each.x, each.y), max(each.z, each.w))) & 0x7f800000, 16u << 23);
  let inverse = bitcast<f32>((260u << 23) - power);
  let lo = vec4h(x.lo * inverse);
  let hi = vec4h(x.hi * inverse);
  return Unit(lo.xz, lo.yw, hi.xz, hi.yw, bitcast<f32>(power - (6u << 23)));
}
