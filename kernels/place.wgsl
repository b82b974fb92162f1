// Experts to the slots that hold their weights: slot = table[id], share = weight where there is a
// slot, else 0, or with ADD what it was
//
//   ids [T K] u32   weights [T K] f32   table [.., E] u32: slots, 0xffffffff for none
//   ->   slots [T K] u32   shares [T K] f32
//
// grid ceil(T * K / 64): an invocation places one choice.
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

override ADD: u32;

struct Params {
  K: u32,
  first: u32, // of the table, where this layer's begins
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> table: array<u32>;
@group(0) @binding(5) var<storage, read_write> slots: array<u32>;
@group(0) @binding(6) var<storage, read_write> shares: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * 64 + lane;
  if (i >= count.n * p.K) {
    return;
  }
  let slot = table[p.first + ids[i]];
  slots[i] = slot;
  if (slot != 0xffffffff) {
    shares[i] = weights[i];
  } else if (ADD == 0) {
    shares[i] = 0;
  }
}
