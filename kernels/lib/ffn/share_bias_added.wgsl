// expert_down_vec of experts with biases. Uses the kernel's params, ids and weights, and the part.
#import "lib/ffn/bias_added.wgsl"

// The weighted sum of a row over a token's experts, with the biases of those that the part holds.
fn with_biases(value: f32, t: u32, row: u32) -> f32 {
  var sum = value;
  for (var a = t * p.K; a < (t + 1) * p.K; a++) {
    if (ids[a] - part.first_expert < part.experts) { // wraps to a large number below the part
      sum += weights[p.weights_at + a] * biased(0, a, row);
    }
  }
  return sum;
}
