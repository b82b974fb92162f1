// Where expert_up_vec's outputs go: f32. Uses the kernel's params and `made`, the outputs
// of the workgroup.
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

// Outputs `first` .. of a assignment, `left` of them until the part ends.
fn store_outputs(assignment: u32, first: u32, left: u32, lane: u32) {
  for (var i = lane; i < min(left, THREADS / TEAM * 4); i += THREADS) {
    y[assignment * p.y_stride + first + i] = made[i];
  }
}
