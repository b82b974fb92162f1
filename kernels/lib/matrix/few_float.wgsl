// What products of few rows are made of, in f32: four rows of weights, unpacked once, by eight
// columns of activations, a step. Uses the kernel's TEAM.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"

const STEPS = 4u; // of a group of 32 columns
const EACH = SPAN; // steps of a word of levels: one invocation takes them

// Eight columns, each of four rows.
struct Weights {
  lo: mat4x4f,
  hi: mat4x4f,
}
alias Columns = Eight;

fn weights_at(expert: u32, panel: u32, half: u32, step: u32) -> Weights {
  return Weights(half4x4(expert, panel, half, step, 0), half4x4(expert, panel, half, step, 1));
}

fn columns_at(row: u32, step: u32) -> Columns {
  let at = (row * part.groups * STEPS + step) * 2;
  return Eight(x[at], x[at + 1]);
}

fn plus_products(sum: vec4f, w: Weights, u: Columns) -> vec4f {
  return sum + w.lo[0] * u.lo.x + w.lo[1] * u.lo.y + w.lo[2] * u.lo.z + w.lo[3] * u.lo.w
    + w.hi[0] * u.hi.x + w.hi[1] * u.hi.y + w.hi[2] * u.hi.z + w.hi[3] * u.hi.w;
}
