// gpt-oss's activation: g sigmoid(1.702 g) (u + 1), of inputs cut at LIMIT.
override LIMIT: f32 = 7; // the host's only in this variant

fn gated(g: f32, u: f32) -> f32 {
  let gate = min(g, LIMIT);
  return gate / (1 + exp(-1.702 * gate)) * (clamp(u, -LIMIT, LIMIT) + 1);
}
