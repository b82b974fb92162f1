// What products of few rows are made of, in int8: four rows of weights, unpacked once, by eight
// columns of activations, a step. Four products are one instruction.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"

const STEPS = 4u; // of a group of 32 columns
const EACH = SPAN; // steps of a word of levels: one invocation takes them

struct Weights {
  lo: vec4u, // a word a row: its first four columns, less the zero point
  hi: vec4u,
  scales: vec4f,
  offsets: vec4f, // OFFSETS: a format's weights are less these
}
alias Columns = Unit;

fn weights_at(expert: u32, panel: u32, half: u32, step: u32) -> Weights {
  return Weights(
    centred4(levels4(expert, panel, half, step, 0)),
    centred4(levels4(expert, panel, half, step, 1)),
    scales4(expert, panel, half, step),
    offsets4(expert, panel, half, step),
  );
}

fn columns_at(row: u32, step: u32) -> Columns {
  return unit_at(row, step);
}

fn plus_products(sum: vec4f, w: Weights, u: Columns) -> vec4f {
  let products = vec4i(
    dot4I8Packed(w.lo.x, u.a) + dot4I8Packed(w.hi.x, u.b),
    dot4I8Packed(w.lo.y, u.a) + dot4I8Packed(w.hi.y, u.b),
    dot4I8Packed(w.lo.z, u.a) + dot4I8Packed(w.hi.z, u.b),
    dot4I8Packed(w.lo.w, u.a) + dot4I8Packed(w.hi.w, u.b),
  );
  let y = sum + u.scale * w.scales * vec4f(products);
  if (OFFSETS) {
    return y - u.scale * f32(u.sum) * w.offsets;
  }
  return y;
}
