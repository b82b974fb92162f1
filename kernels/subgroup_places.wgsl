// Where invocations are among the subgroups: y[i] = subgroup * size + place in it, of invocation i
//
//   ->   y [THREADS] u32
//
// grid 1: a workgroup. Teams take it for i (lib/team), which WGSL does not promise: the host asks
// each device once.
enable subgroups;
requires subgroup_id;

override THREADS: u32;

@group(0) @binding(0) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(local_invocation_index) i: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_size) size: u32,
  @builtin(subgroup_invocation_id) place: u32,
) {
  y[i] = subgroup * size + place;
}
