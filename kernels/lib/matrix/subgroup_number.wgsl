// A number for each subgroup of a workgroup, for tiles on matrix units.
enable subgroups;

var<workgroup> numbered: atomic<u32>; // subgroups that have a number

// From 0 on: which invocations are together is nothing that WGSL promises. Contains barriers: call
// it in uniform control flow.
fn number_of_subgroup(i: u32) -> u32 {
  if (i == 0) {
    atomicStore(&numbered, 0);
  }
  workgroupBarrier();
  var number = 0u;
  if (subgroupElect()) {
    number = atomicAdd(&numbered, 1);
  }
  return subgroupBroadcastFirst(number);
}
