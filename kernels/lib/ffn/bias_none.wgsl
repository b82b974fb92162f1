// Experts without biases: what a row of w1, w3 or w2 gives is the product.
fn biased(value: f32, assignment: u32, row: u32) -> f32 {
  return value;
}
