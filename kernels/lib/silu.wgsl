// The activation of the expert FFN, of both variants of its kernels.
fn silu(x: f32) -> f32 {
  return x / (1 + exp(-x));
}
