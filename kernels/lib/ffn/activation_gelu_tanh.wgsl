// g (1 + tanh(sqrt(2 / pi) (g + 0.044715 g^3))) / 2 u; (1 + tanh(z / 2)) / 2 is sigmoid(z).
fn gated(g: f32, u: f32) -> f32 {
  return g / (1 + exp(-1.5957691 * (g + 0.044715 * g * g * g))) * u;
}
