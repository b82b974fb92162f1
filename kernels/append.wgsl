// KV append: writes every token's k and v to its place in the sequence's blocks
//
//   qkv [T, (H + 2 Hkv) Dh] f32   ->   keys, values [block, position in block, Hkv, Dh], f16 or f32
//
// grid ceil(T * Hkv * Dh / 2 / 64): an invocation writes two neighbouring dimensions of one head's
// k and of its v; with VALUES 0 there is no v in qkv.
#import "lib/attention/kv.wgsl"
#import "lib/attention/paged.wgsl"
#import "lib/step.wgsl"
#import "lib/token.wgsl"
#import "lib/grid.wgsl"

override VALUES: u32;

struct Params {
  block: u32, // positions a block
  heads: u32, // H
  kv_heads: u32, // Hkv
  pairs: u32, // Dh / 2
  stride: u32, // floats a row of qkv
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read> qkv: array<f32>;
@group(0) @binding(4) var<storage, read_write> keys: array<KvPair>;
@group(0) @binding(5) var<storage, read_write> values: array<KvPair>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = group_index(group, groups) * 64 + lane;
  let t = index / (p.kv_heads * p.pairs);
  if (t >= count.n) {
    return;
  }
  let head = index / p.pairs % p.kv_heads;
  let i = index % p.pairs;
  let token = token_at(t);
  let to = kv_at(token.table, token.position, head) + i;
  let k = t * p.stride + ((p.heads + head) * p.pairs + i) * 2;
  let v = k + p.kv_heads * p.pairs * 2;
  keys[to] = kv_pack(vec2f(qkv[k], qkv[k + 1]));
  if (VALUES == 1) {
    values[to] = kv_pack(vec2f(qkv[v], qkv[v + 1]));
  }
}
