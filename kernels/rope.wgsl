// Rotary position embedding, in place on q and k: pairs (i, i + rd / 2) of a head turn by position
// * inverse[i]
//
//   qkv [T, (H + 2 Hkv) Dh] f32   angles [positions, rd / 2] (cos, sin) f32   ->   qkv
//
// Dimensions of a head from rd on stay. The angles come from the host: WGSL's own cos is poor at
// large ones.
//
// grid ceil(T * (H + Hkv) * rd / 2 / 64): an invocation turns one pair.
#import "lib/step.wgsl"
#import "lib/token.wgsl"
#import "lib/grid.wgsl"

struct Params {
  turned: u32, // H + Hkv, the heads of q and k
  pairs: u32, // rd / 2
  head: u32, // Dh
  stride: u32, // floats a row of qkv
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read> angles: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> qkv: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = group_index(group, groups) * 64 + lane;
  let t = index / (p.turned * p.pairs);
  if (t >= count.n) {
    return;
  }
  let head = index / p.pairs % p.turned;
  let i = index % p.pairs;
  let turn = angles[token_at(t).position * p.pairs + i];
  let at = t * p.stride + head * p.head + i;
  let a = qkv[at];
  let b = qkv[at + p.pairs];
  qkv[at] = a * turn.x - b * turn.y;
  qkv[at + p.pairs] = b * turn.x + a * turn.y;
}
