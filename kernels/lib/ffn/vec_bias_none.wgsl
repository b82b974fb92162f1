// expert_up_vec of experts without biases.
fn biased(value: f32, assignment: u32, row: u32) -> f32 {
  return value;
}
