// Eight rows of f16 weights by eight columns, in f16.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/columns_float.wgsl"

// A word holds two neighbouring columns; a unit has them in the order of bytes.
fn one_row(p: u32, q: u32, r: u32, s: u32, u: Unit) -> f32 {
  return f32(dot(vec2h(unpack2x16float(p)), vec2h(u.a.x, u.b.x)) + dot(vec2h(unpack2x16float(q)), vec2h(u.a.y, u.b.y)))
    + f32(dot(vec2h(unpack2x16float(r)), vec2h(u.c.x, u.d.x)) + dot(vec2h(unpack2x16float(s)), vec2h(u.c.y, u.d.y)));
}

fn four_rows(at: u32, u: Unit) -> vec4f {
  let p = w[at];
  let q = w[at + 2];
  let r = w[at + 4];
  let s = w[at + 6];
  return vec4f(
    one_row(p.x, q.x, r.x, s.x, u),
    one_row(p.y, q.y, r.y, s.y, u),
    one_row(p.z, q.z, r.z, s.z, u),
    one_row(p.w, q.w, r.w, s.w, u),
  );
}

fn products(sum: Sums, weight: f32, expert: u32, row: u32, unit: u32, t: u32) -> Sums {
  let columns = columns_at(t, unit);
  let u = columns.unit;
  let at = panel_at(expert, row) + unit * 8;
  let lo = sum.rows.lo + weight * u.scale * four_rows(at, u);
  let hi = sum.rows.hi + weight * u.scale * four_rows(at + 1, u);
  return Sums(Rows8(lo, hi), sum.squares + columns.squares);
}
