// Attention over a part of the cached positions, single tokens: out = sum of exp(score - max)
// value, with the max and the sum of the weights
//
//   qkv [T, (H + 2 Hkv) Dh] f32   keys, values: paged, f32, f16 or q8   sinks [H] f32
//   ->   y [T, splits, H Dv + 2 H] f32, or [T, H Dv]
//
// A value has Dv = Dh - skip numbers: where values are the ends of keys, both bind the keys, and
// the first `skip` outputs of a head are not stored.
//
// grid (Hkv * ceil(G / 8), T * splits), G = H / Hkv: a workgroup owns 8 heads of one key/value head
// (all, if there are fewer) for one token and one split of the positions that it sees; their spans
// follow from the token's position, which only the device knows. y gets the heads' outputs, then
// (max, sum) of each head; with one split the outputs are final. A split without positions stores a
// sum of 0 and no outputs.
#import "lib/attention/attend.wgsl"

struct Params {
  block: u32, // positions a block
  heads: u32, // H
  kv_heads: u32, // Hkv
  pairs: u32, // Dh / 2
  window: u32, // positions seen, the token's own included; 0 sees every earlier one
  scale: f32, // of the scores: 1 / sqrt(Dh) as a rule
  stride: u32, // floats a row of qkv
  y_stride: u32, // floats a row of y
  most: u32, // splits of all tokens together, at most
  unshared: u32, // up to so many tokens have as many each
  // SLICES again: a software adapter unrolls loops whose length is a constant, and compiles for
  // many seconds
  slices: u32,
  skip: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read> qkv: array<vec2f>;
@group(0) @binding(4) var<storage, read> keys: array<KvStored>;
@group(0) @binding(5) var<storage, read> values: array<KvStored>;
@group(0) @binding(6) var<storage, read> sinks: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;

// Two neighbouring dimensions of the query of the group's head `q`; 0 where there is none.
fn query_pair(t: u32, first_head: u32, q: u32, count: u32, pair: u32) -> vec2f {
  let real = q < count && pair < p.pairs;
  return qkv[t * (p.stride / 2) + select(0, (first_head + q) * p.pairs + pair, real)] * select(0, p.scale, real);
}

fn query_quad(t: u32, first_head: u32, q: u32, count: u32, pair: u32) -> mat4x4f {
  return transpose(mat4x4f(
    vec4f(query_pair(t, first_head, q, count, pair), query_pair(t, first_head, q, count, pair + 1)),
    vec4f(query_pair(t, first_head, q + 1, count, pair), query_pair(t, first_head, q + 1, count, pair + 1)),
    vec4f(query_pair(t, first_head, q + 2, count, pair), query_pair(t, first_head, q + 2, count, pair + 1)),
    vec4f(query_pair(t, first_head, q + 3, count, pair), query_pair(t, first_head, q + 3, count, pair + 1)),
  ));
}

fn query(t: u32, first_head: u32, q: u32, count: u32, unit: u32) -> Eight {
  return Eight(
    query_quad(t, first_head, q, count, unit * 4),
    query_quad(t, first_head, q, count, unit * 4 + 2),
  );
}

@compute @workgroup_size(UNITS * SLICES * FOURS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  let own = share_of(workgroup);
  if (own.origin >= own.end) {
    store_nothing(own, lane);
    return;
  }
  let place = place_of(lane);
  let four = query(own.t, own.heads.first, place.four * 4, own.heads.count, place.unit);
  attend(own, own.to, four, nothing(), lane);
}
