// What products of few rows are made of, in int8: four rows of weights, unpacked once, by sixteen
// columns of activations, a step. Four products are one instruction, and sums stay integers through
// a step, whose columns share a scale on both sides.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/int8_stride.wgsl"
requires packed_4x8_integer_dot_product;

// A row is its quants, sixteen columns an element, then a scale (f32) a group: quantize.wgsl.
@group(0) @binding(3) var<storage, read> x: array<vec4u>;

const STEPS = 2u; // of a group of 32 columns
const EACH = 1u; // steps that one invocation takes

// Whether what a product's levels are too high by is taken off by a sum of activations: levels
// around 128 become int8 by flipping the sign bit, all others are int8 as they are.
const SHIFTED = ZERO != 0 && ZERO != 128;

struct Weights {
  a: vec4u, // levels, a word a row: its first four columns
  b: vec4u,
  c: vec4u,
  d: vec4u,
  scales: vec4f,
  offsets: vec4f, // OFFSETS: a format's weights are less these
}

struct Columns {
  quants: vec4u,
  start: i32, // SHIFTED: what products with levels are too large by, negative
  scale: f32,
  sum: f32, // OFFSETS: of all sixteen
}

fn as_int8(levels: vec4u) -> vec4u {
  if (ZERO == 128) {
    return levels ^ vec4u(0x80808080);
  }
  return levels;
}

fn weights_at(expert: u32, panel: u32, half: u32, step: u32) -> Weights {
  let unit = step * 2;
  return Weights(
    as_int8(levels4(expert, panel, half, unit, 0)),
    as_int8(levels4(expert, panel, half, unit, 1)),
    as_int8(levels4(expert, panel, half, unit + 1, 0)),
    as_int8(levels4(expert, panel, half, unit + 1, 1)),
    scales4(expert, panel, half, unit),
    offsets4(expert, panel, half, unit),
  );
}

// Products of sixteen columns of a row, added to `start`.
fn dots(start: i32, a: u32, b: u32, c: u32, d: u32, x: vec4u) -> i32 {
  let half = start + dot4I8Packed(a, x.x) + dot4I8Packed(b, x.y);
  return half + dot4I8Packed(c, x.z) + dot4I8Packed(d, x.w);
}

fn columns_at(row: u32, step: u32) -> Columns {
  let start = row * int8_stride(part.groups) / 4;
  let quants = x[start + step];
  let group = step / 2;
  let scale = bitcast<f32>(x[start + part.groups * 2 + group / 4][group % 4]);
  var columns = Columns(quants, 0, scale, 0);
  if (SHIFTED || OFFSETS) {
    let ones = 0x01010101u;
    let sum = dots(0, ones, ones, ones, ones, quants);
    columns.start = -ZERO * sum;
    columns.sum = scale * f32(sum);
  }
  return columns;
}

fn plus_products(sum: vec4f, w: Weights, u: Columns) -> vec4f {
  let start = select(0, u.start, SHIFTED);
  let products = vec4f(vec4i(
    dots(start, w.a.x, w.b.x, w.c.x, w.d.x, u.quants),
    dots(start, w.a.y, w.b.y, w.c.y, w.d.y, u.quants),
    dots(start, w.a.z, w.b.z, w.c.z, w.d.z, u.quants),
    dots(start, w.a.w, w.b.w, w.c.w, w.d.w, u.quants),
  ));
  let y = sum + u.scale * w.scales * products;
  if (OFFSETS) {
    return y - u.sum * w.offsets;
  }
  return y;
}
