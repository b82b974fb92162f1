// relu(g)^2 u.
fn gated(g: f32, u: f32) -> f32 {
  let positive = max(g, 0);
  return positive * positive * u;
}
