// Eight rows of q8 weights by eight columns: the zero point of 128 is taken off once, by the sum of the activations.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"
#import "lib/matrix/scale_rows.wgsl"

// Four rows' weights plus 128, by the activations; `a` holds their first four columns, `b` the other four.
fn four_rows(a: vec4u, b: vec4u, u: Unit) -> vec4f {
  return vec4f(dot(bytes4(a.x), u.a), dot(bytes4(a.y), u.a), dot(bytes4(a.z), u.a), dot(bytes4(a.w), u.a))
    + vec4f(dot(bytes4(b.x), u.b), dot(bytes4(b.y), u.b), dot(bytes4(b.z), u.b), dot(bytes4(b.w), u.b))
    - 128 * u.sum;
}

fn products(expert: u32, row: u32, unit: u32, u: Unit) -> Rows8 {
  let at = block_at(expert, row) + unit * 4;
  let scale = scale_rows(scales8(expert, row, unit));
  return Rows8(scale.lo * four_rows(w[at], w[at + 2], u), scale.hi * four_rows(w[at + 1], w[at + 3], u));
}
