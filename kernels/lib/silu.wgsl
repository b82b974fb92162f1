// The activation of the expert FFN, of both forms of its kernels.
fn silu(x: f32) -> f32 {
  return x / (1 + exp(-x));
}
