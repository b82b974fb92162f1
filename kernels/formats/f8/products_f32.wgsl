// Eight rows of E4M3 weights by eight columns of f32 activations.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/columns_float.wgsl"

fn four_by_four(words: vec4u, x: vec4f) -> vec4f {
  return vec4f(
    dot(numbers4(words.x), x),
    dot(numbers4(words.y), x),
    dot(numbers4(words.z), x),
    dot(numbers4(words.w), x),
  );
}

fn products(sum: Sums, weight: f32, expert: u32, row: u32, unit: u32, t: u32) -> Sums {
  let columns = columns_at(t, unit);
  let u = columns.unit;
  let panel = row / 8;
  let at = word_at(expert, panel, unit);
  let lo_scales = weight * scales4(expert, panel, 0, unit); // before the sums: loads take long
  let hi_scales = weight * scales4(expert, panel, 1, unit);
  let lo = sum.rows.lo + lo_scales * (four_by_four(w[at], u.a) + four_by_four(w[at + 2], u.b));
  let hi = sum.rows.hi + hi_scales * (four_by_four(w[at + 1], u.a) + four_by_four(w[at + 3], u.b));
  return Sums(Rows8(lo, hi), sum.squares + columns.squares);
}
