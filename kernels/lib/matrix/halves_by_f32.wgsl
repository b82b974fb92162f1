// Eight rows of weights of 16 bits by eight columns of f32 activations.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/columns_float.wgsl"

fn four_by_two(words: vec4u, x: vec2f) -> vec4f {
  return vec4f(
    dot(numbers2(words.x), x),
    dot(numbers2(words.y), x),
    dot(numbers2(words.z), x),
    dot(numbers2(words.w), x),
  );
}

fn four_rows(at: u32, u: Unit) -> vec4f {
  return four_by_two(w[at], u.a.xy) + four_by_two(w[at + 2], u.a.zw) + four_by_two(w[at + 4], u.b.xy)
    + four_by_two(w[at + 6], u.b.zw);
}

fn products(sum: Sums, weight: f32, expert: u32, row: u32, unit: u32, t: u32) -> Sums {
  let columns = columns_at(t, unit);
  let u = columns.unit;
  let at = panel_at(expert, row) + unit * 8;
  let lo = sum.rows.lo + weight * four_rows(at, u);
  let hi = sum.rows.hi + weight * four_rows(at + 1, u);
  return Sums(Rows8(lo, hi), sum.squares + columns.squares);
}
