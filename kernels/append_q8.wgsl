// KV append to a cache of int8 (append_q8.ts): every token's k, rotated, and v to its place in the
// sequence's blocks; and the queries, rotated as keys are
//
//   qkv [T, (H + 2 Hkv) Dh] f32   ->   keys, values [block, position in block, Hkv, row]
//                                      queries [T, H Dh] f32
//
// The rotation is a Hadamard transform by blocks of falling powers of two (rotate.ts).
//
// grid (H + 2 Hkv, T), or (H, T) with APPEND 0: a workgroup owns a head of one token. With LATENT 1
// it is (1, T): keys alone, not rotated, because they are values too. Dh is at most 1,024.
#import "lib/attention/kv_q8.wgsl"
#import "lib/attention/paged.wgsl"
#import "lib/token.wgsl"
#import "lib/grid.wgsl"

override LATENT: u32;
override APPEND: u32;

struct Params {
  block: u32, // positions a block
  heads: u32, // H
  kv_heads: u32, // Hkv
  pairs: u32, // Dh / 2
  stride: u32, // floats a row of qkv
  q_stride: u32, // and of queries
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;
@group(0) @binding(3) var<storage, read_write> queries: array<f32>;
@group(0) @binding(4) var<storage, read_write> keys: array<KvStored>;
@group(0) @binding(5) var<storage, read_write> values: array<KvStored>;

const THREADS = 64u;

// A head, padded with zeros to whole groups.
var<workgroup> head_values: array<f32, 1024>;

// Numbers of the block that dimension d is in, where `width` is the sum of all.
fn block_of(d: u32, width: u32) -> u32 {
  return 1u << firstLeadingBit(width ^ d);
}

// Contains barriers: call it in uniform control flow.
fn rotate(width: u32, lane: u32) {
  for (var half = 1u; half < width; half *= 2) {
    for (var i = lane; i < width; i += THREADS) {
      let d = i / half * half * 2 + i % half;
      if (d < width && half < block_of(d, width)) {
        let a = head_values[d];
        let b = head_values[d + half];
        head_values[d] = a + b;
        head_values[d + half] = a - b;
      }
    }
    workgroupBarrier();
  }
  for (var d = lane; d < width; d += THREADS) {
    head_values[d] *= inverseSqrt(f32(block_of(d, width)));
  }
  workgroupBarrier();
}

// The largest magnitude of a group, rounded to what f16 has, because packing may round either way;
// 0 past the last group.
fn magnitude(group: u32) -> f32 {
  var most = 0.0;
  for (var i = 0u; i < 32 && group < kv_groups(p.pairs); i++) {
    most = max(most, abs(head_values[group * 32 + i]));
  }
  let bits = bitcast<u32>(min(most, 65504));
  return bitcast<f32>((bits + 0xfff + ((bits >> 13) & 1)) & 0xffffe000);
}

fn level(value: f32, inverse: f32) -> u32 {
  return u32(i32(clamp(round(value * inverse), -127, 127))) & 0xff;
}

fn four_of(first: u32, inverse: f32) -> u32 {
  return level(head_values[first], inverse)
    | (level(head_values[first + 1], inverse) << 8)
    | (level(head_values[first + 2], inverse) << 16)
    | (level(head_values[first + 3], inverse) << 24);
}

// Eight bytes of a head's row: levels, or four magnitudes.
fn stored(at: u32) -> KvStored {
  let groups = kv_groups(p.pairs);
  if (at >= groups * 4) {
    let first = (at - groups * 4) * 4;
    return vec2u(
      pack2x16float(vec2f(magnitude(first), magnitude(first + 1))),
      pack2x16float(vec2f(magnitude(first + 2), magnitude(first + 3))),
    );
  }
  let most = unpack2x16float(pack2x16float(vec2f(magnitude(at / 4), 0))).x;
  let inverse = select(0, 127 / most, most > 0);
  return vec2u(four_of(at * 8, inverse), four_of(at * 8 + 4, inverse));
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let head = group_index(group, groups) + LATENT * p.heads;
  let t = group.z;
  let width = p.pairs * 2;
  let at = t * p.stride + head * width;
  for (var d = lane; d < kv_groups(p.pairs) * 32; d += THREADS) {
    head_values[d] = select(0, qkv[at + min(d, width - 1)], d < width);
  }
  workgroupBarrier();
  let is_q = head < p.heads;
  let is_k = head < p.heads + p.kv_heads;
  if (LATENT == 0 && is_k) {
    rotate(width, lane);
  }
  if (is_q) {
    for (var d = lane; d < width; d += THREADS) {
      queries[t * p.q_stride + head * width + d] = head_values[d];
    }
    return;
  }
  let token = token_at(t);
  let kv_head = head - p.heads - select(p.kv_heads, 0, is_k);
  let place = kv_at(token.table, token.position, kv_head) / 4;
  for (var i = lane; i < kv_row(p.pairs) / 4; i += THREADS) {
    if (is_k) {
      keys[place + i] = stored(i);
    } else {
      values[place + i] = stored(i);
    }
  }
}
