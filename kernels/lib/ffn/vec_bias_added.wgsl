// expert_up_vec of experts with biases; the rest as in bias_added.wgsl.
@group(0) @binding(6) var<storage, read> biases: array<f32>; // [E, BIAS_ROWS]
@group(0) @binding(7) var<storage, read> chosen: array<u32>; // [T K]

override BIAS_ROWS: u32 = 1; // the host's only in this variant

fn biased(value: f32, assignment: u32, row: u32) -> f32 {
  return value + biases[chosen[assignment] * BIAS_ROWS + row];
}
