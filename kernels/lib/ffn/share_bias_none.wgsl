// expert_down_vec of experts without biases.
fn with_biases(value: f32, t: u32, row: u32) -> f32 {
  return value;
}
