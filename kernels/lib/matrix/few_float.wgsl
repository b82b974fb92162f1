// What products of few rows are made of, in f32: four rows of weights, unpacked once, by four
// columns of activations, a step. Uses the kernel's TEAM.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"

const STEPS = 8u; // of a group of 32 columns
const EACH = 2 * SPAN; // steps of a word of levels: one invocation takes them

alias Weights = mat4x4f; // four columns, each of four rows
alias Columns = vec4f;

fn weights_at(expert: u32, row: u32, step: u32) -> Weights {
  return weights4x4(expert, row, step);
}

fn columns_at(row: u32, step: u32) -> Columns {
  return x[row * part.groups * STEPS + step];
}

fn plus_products(sum: vec4f, w: Weights, u: Columns) -> vec4f {
  return sum + w[0] * u.x + w[1] * u.y + w[2] * u.z + w[3] * u.w;
}
