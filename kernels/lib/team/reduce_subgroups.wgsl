// Sums and maxima over a workgroup of THREADS invocations: one subgroup operation, then one value a
// subgroup. Right for any subgroup size: subgroup_id tells which slot is ours, num_subgroups how
// many there are.
enable subgroups;
requires subgroup_id;

struct Lane {
  @builtin(local_invocation_index) index: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(num_subgroups) subgroups: u32,
  @builtin(subgroup_invocation_id) place: u32, // in its subgroup
  @builtin(subgroup_size) size: u32,
}

// A name for the size: wgpu (naga 29) panics over a formula of overrides that are declared later.
override PARTIALS: u32 = THREADS / 4; // no subgroup is smaller than four
var<workgroup> partial: array<vec4f, PARTIALS>;

// Every invocation gets the sum. Contains barriers: call it in uniform control flow.
fn workgroup_sum(value: vec4f, lane: Lane) -> vec4f {
  let own = subgroupAdd(value);
  if (subgroupElect()) {
    partial[lane.subgroup] = own;
  }
  workgroupBarrier();
  var sum = partial[0];
  for (var i = 1u; i < lane.subgroups; i++) {
    sum += partial[i];
  }
  workgroupBarrier(); // the next call overwrites what the slowest invocation still reads
  return sum;
}

// Every invocation gets the maximum, by component. Contains barriers: call it in
// uniform control flow.
fn workgroup_max(value: vec4f, lane: Lane) -> vec4f {
  let own = subgroupMax(value);
  if (subgroupElect()) {
    partial[lane.subgroup] = own;
  }
  workgroupBarrier();
  var top = partial[0];
  for (var i = 1u; i < lane.subgroups; i++) {
    top = max(top, partial[i]);
  }
  workgroupBarrier();
  return top;
}
