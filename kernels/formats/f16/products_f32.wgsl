// Eight rows of f16 weights by eight columns of f32 activations.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/unit.wgsl"

fn four_rows(at: u32, u: Unit) -> vec4f {
  let p = w[at];
  let q = w[at + 2];
  let r = w[at + 4];
  let s = w[at + 6];
  return vec4f(dot(unpack2x16float(p.x), u.a.xy), dot(unpack2x16float(p.y), u.a.xy), dot(unpack2x16float(p.z), u.a.xy), dot(unpack2x16float(p.w), u.a.xy))
    + vec4f(dot(unpack2x16float(q.x), u.a.zw), dot(unpack2x16float(q.y), u.a.zw), dot(unpack2x16float(q.z), u.a.zw), dot(unpack2x16float(q.w), u.a.zw))
    + vec4f(dot(unpack2x16float(r.x), u.b.xy), dot(unpack2x16float(r.y), u.b.xy), dot(unpack2x16float(r.z), u.b.xy), dot(unpack2x16float(r.w), u.b.xy))
    + vec4f(dot(unpack2x16float(s.x), u.b.zw), dot(unpack2x16float(s.y), u.b.zw), dot(unpack2x16float(s.z), u.b.zw), dot(unpack2x16float(s.w), u.b.zw));
}

fn products(expert: u32, row: u32, unit: u32, u: Unit) -> Rows8 {
  let at = panel_at(expert, row) + unit * 8;
  return Rows8(four_rows(at, u), four_rows(at + 1, u));
}
