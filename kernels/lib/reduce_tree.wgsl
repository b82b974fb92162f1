// Sums and maxima over a workgroup of THREADS (a power of two) invocations, in workgroup memory: needs no feature.
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
  let sum = workgroupUniformLoad(&partial[0]);
  return sum;
}

// Every invocation gets the maximum. Contains barriers: call it in uniform control flow.
fn workgroup_max(value: f32, lane: Lane) -> f32 {
  partial[lane.index].x = value;
  for (var half = THREADS / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (lane.index < half) {
      partial[lane.index].x = max(partial[lane.index].x, partial[lane.index + half].x);
    }
  }
  let top = workgroupUniformLoad(&partial[0]);
  return top.x;
}
