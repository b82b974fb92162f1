// Sums and maxima over a workgroup of THREADS (a power of two) invocations, in workgroup memory:
// needs no feature.
struct Lane {
  @builtin(local_invocation_index) index: u32,
}

var<workgroup> partial: array<vec4f, THREADS>;

// Every invocation gets the sum. Contains barriers: call it in uniform control flow.
fn workgroup_sum(value: vec4f, lane: Lane) -> vec4f {
  partial[lane.index] = value;
  for (var half = THREADS / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (lane.index < half) {
      partial[lane.index] += partial[lane.index + half];
    }
  }
  return workgroupUniformLoad(&partial[0]);
}

// Every invocation gets the maximum, by component. Contains barriers: call it in
// uniform control flow.
fn workgroup_max(value: vec4f, lane: Lane) -> vec4f {
  partial[lane.index] = value;
  for (var half = THREADS / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (lane.index < half) {
      partial[lane.index] = max(partial[lane.index], partial[lane.index + half]);
    }
  }
  return workgroupUniformLoad(&partial[0]);
}
