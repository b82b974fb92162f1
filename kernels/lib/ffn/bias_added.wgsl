// Biases of experts. `chosen` has the expert of each assignment: `ids` may be of slots.
@group(0) @binding(7) var<storage, read> biases: array<f32>; // [E, BIAS_ROWS]
@group(0) @binding(8) var<storage, read> chosen: array<u32>; // [T K]

override BIAS_ROWS: u32 = 1; // the host's only in this variant

// What row `row` of an assignment's expert gives: its product and its bias. What pads rows of odd
// length stays 0.
fn biased(value: f32, assignment: u32, row: u32) -> f32 {
  return select(value, value + biases[chosen[assignment] * BIAS_ROWS + row], row < BIAS_ROWS);
}
