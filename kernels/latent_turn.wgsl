// Multi-head latent attention between its products and attention: the queries of all heads and the
// one key, and the KV append
//
//   q [T, H (dn + dr)]   absorbed [T, H, kv]   c [T, kv + dr]   norm [kv]
//   angles [rows, dr / 2] (cos, sin)   all f32
//   ->   y [T, (H + 1) (dr + kv)] f32: of each head q[dn ..], turned, and absorbed; then the key
//        c[kv ..], turned, and c[.. kv] / sqrt(mean(c^2) + eps) * norm
//        keys [block, position in block, dr + kv], f16 or f32; not with APPEND 0
//
// grid (H + 1, T): a workgroup makes a query of one token, or the key.
#import "lib/team/reduce.wgsl"
#import "lib/attention/kv.wgsl"
#import "lib/attention/paged.wgsl"
#import "lib/token.wgsl"
#import "lib/grid.wgsl"

override APPEND: u32;

struct Params {
  q_stride: u32, // floats a row of q
  c_stride: u32, // of c
  y_stride: u32, // of y
  block: u32, // positions a block
  heads: u32, // H
  kv_heads: u32, // 1
  pairs: u32, // (dr + kv) / 2
  nope: u32, // dn
  turned: u32, // dr / 2
  eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> absorbed: array<f32>;
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read> norm: array<f32>;
@group(0) @binding(5) var<storage, read> angles: array<vec2f>;
@group(0) @binding(6) var<storage, read> step: array<u32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<storage, read_write> keys: array<KvPair>;

const THREADS = 64u;

// Number d of the part that turns, by a row of angles; its first is at `at` of q or c.
fn turned(is_key: bool, at: u32, d: u32, row: u32) -> f32 {
  let late = d >= p.turned;
  let turn = angles[row * p.turned + d % p.turned];
  let value = part_of(is_key, at + d);
  let other = part_of(is_key, at + select(d + p.turned, d - p.turned, late));
  return value * turn.x + other * select(-turn.y, turn.y, late);
}

fn part_of(is_key: bool, at: u32) -> f32 {
  if (is_key) {
    return c[at];
  }
  return q[at];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let head = group_index(group, groups);
  let t = group.z;
  let rope = p.turned * 2;
  let latent = p.pairs * 2 - rope;
  let is_key = head == p.heads;
  var factor = 1.0;
  if (is_key) {
    var squares = 0.0;
    for (var i = lane.index; i < latent; i += THREADS) {
      let value = c[t * p.c_stride + i];
      squares += value * value;
    }
    factor = 1 / sqrt(workgroup_sum(vec4f(squares), lane).x / f32(latent) + p.eps);
  }
  let token = token_at(t);
  let turning = select(t * p.q_stride + head * (p.nope + rope) + p.nope, t * p.c_stride + latent, is_key);
  let to = t * p.y_stride + head * p.pairs * 2;
  for (var pair = lane.index; pair < p.pairs; pair += THREADS) {
    let d = pair * 2;
    var two: vec2f;
    if (d < rope) {
      let row = angle_row(token);
      two = vec2f(turned(is_key, turning, d, row), turned(is_key, turning, d + 1, row));
    } else if (is_key) {
      let i = d - rope;
      let at = t * p.c_stride + i;
      two = vec2f(c[at] * factor * norm[i], c[at + 1] * factor * norm[i + 1]);
    } else {
      let at = (t * p.heads + head) * latent + d - rope;
      two = vec2f(absorbed[at], absorbed[at + 1]);
    }
    y[to + d] = two.x;
    y[to + d + 1] = two.y;
    if (APPEND == 1 && is_key) {
      keys[kv_at(token.table, token.position, 0) + pair] = kv_pack(two);
    }
  }
}
