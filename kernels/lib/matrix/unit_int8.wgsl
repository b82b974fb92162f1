// Activations rounded to int8 with a scale a group of 32 (quantize.wgsl): eight columns of a row at
// a time. A row is groups * 8 words of four columns each, then a scale (f32) a group.
#import "lib/matrix/int8_stride.wgsl"
requires packed_4x8_integer_dot_product;
@group(0) @binding(3) var<storage, read> x: array<u32>;

struct Unit {
  a: u32, // columns 8 unit .. 8 unit + 3
  b: u32,
  sum: i32, // of all eight: what a weight's zero point is multiplied by
  scale: f32,
}

fn unit_at(row: u32, unit: u32) -> Unit {
  let start = row * int8_stride(part.groups);
  let a = x[start + unit * 2];
  let b = x[start + unit * 2 + 1];
  let sum = dot4I8Packed(a, 0x01010101) + dot4I8Packed(b, 0x01010101);
  return Unit(a, b, sum, bitcast<f32>(x[start + part.groups * 8 + unit / 4]));
}
