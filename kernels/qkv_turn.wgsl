// Between the projection of q, k and v and attention: RMSNorm of q and k run by run, the clip of
// all three, rotary position embedding, and the KV append
//
//   x [T, (H + 2 Hkv) Dh] f32 as q | k | v   q_norm [q_size]   k_norm [k_size] f32
//   angles [rows, rd / 2] (cos, sin) f32
//   ->   y as x
//        keys, values [block, position in block, Hkv, Dh], f16 or f32; not with APPEND 0
//
// The norm is x / sqrt(mean(x^2) + eps) * w over runs of as many values as it has weights: a head,
// or all heads. Pairs (i, i + rd / 2) of a head turn by position * inverse[i]; dimensions from rd
// on stay. The angles come from the host: WGSL's own cos is poor at large ones.
//
// grid (H + 2 Hkv, T): a workgroup owns a head of one token; with runs of all heads it takes their
// squares by itself, which is why y is not x.
#import "lib/team/reduce.wgsl"
#import "lib/attention/kv.wgsl"
#import "lib/attention/paged.wgsl"
#import "lib/token.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;
override NORM: u32;
override CLIP: u32;
override APPEND: u32;

struct Params {
  stride: u32, // floats a row of x, and of y
  block: u32, // positions a block
  heads: u32, // H
  kv_heads: u32, // Hkv
  pairs: u32, // Dh / 2, at most 128
  turned: u32, // rd / 2
  q_size: u32,
  k_size: u32,
  eps: f32,
  clip: f32, // CLIP = 1
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> q_norm: array<f32>; // NORM = 1
@group(0) @binding(3) var<storage, read> k_norm: array<f32>;
@group(0) @binding(4) var<storage, read> angles: array<vec2f>;
@group(0) @binding(5) var<storage, read> step: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read_write> keys: array<KvPair>;
@group(0) @binding(8) var<storage, read_write> values: array<KvPair>;

var<workgroup> head_values: array<f32, 256>;

// Dimension d of the head, turned by a row of angles.
fn turned(d: u32, row: u32) -> f32 {
  let value = head_values[d];
  if (d >= p.turned * 2) {
    return value;
  }
  let late = d >= p.turned;
  let turn = angles[row * p.turned + d % p.turned];
  let other = head_values[select(d + p.turned, d - p.turned, late)];
  return value * turn.x + other * select(-turn.y, turn.y, late);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let head = group_index(group, groups);
  let t = group.z;
  let width = p.pairs * 2;
  let at = t * p.stride + head * width;
  let is_q = head < p.heads;
  let is_k = !is_q && head < p.heads + p.kv_heads;
  var factor = 1.0;
  var first = 0u; // of the head in its run
  if (NORM == 1 && (is_q || is_k)) {
    let size = select(p.k_size, p.q_size, is_q);
    first = select(head - p.heads, head, is_q) * width % size;
    var squares = 0.0;
    for (var i = lane.index; i < size; i += THREADS) {
      let value = x[at - first + i];
      squares += value * value;
    }
    factor = 1 / sqrt(workgroup_sum(vec4f(squares), lane).x / f32(size) + p.eps);
  }
  for (var d = lane.index; d < width; d += THREADS) {
    var value = x[at + d] * factor;
    if (NORM == 1 && is_q) {
      value *= q_norm[first + d];
    } else if (NORM == 1 && is_k) {
      value *= k_norm[first + d];
    }
    if (CLIP == 1) {
      value = clamp(value, -p.clip, p.clip);
    }
    head_values[d] = value;
  }
  workgroupBarrier();
  let token = token_at(t);
  for (var pair = lane.index; pair < p.pairs; pair += THREADS) {
    let d = pair * 2;
    var two = vec2f(head_values[d], head_values[d + 1]);
    if (is_q || is_k) {
      let row = angle_row(token);
      two = vec2f(turned(d, row), turned(d + 1, row));
    }
    y[at + d] = two.x;
    y[at + d + 1] = two.y;
    if (APPEND == 1 && is_k) {
      keys[kv_at(token.table, token.position, head - p.heads) + pair] = kv_pack(two);
    } else if (APPEND == 1 && !is_q) {
      values[kv_at(token.table, token.position, head - p.heads - p.kv_heads) + pair] = kv_pack(two);
    }
  }
}
