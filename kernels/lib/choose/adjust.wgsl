// A logit with its chooser's bias and penalties, in the order and rounding of
// src/engine/sampler.ts. Uses the kernel's `logits` and `tables` (u32), and its params.
fn adjusted(chooser: Chooser, row: u32, id: u32) -> vec2u {
  var bits = logits[row * p.stride + id];
  var key = key_of(bits);
  if (chooser.table != NO_TABLE && key != BANNED && key != BROKEN) {
    var value = bitcast<f32>(bits) + bitcast<f32>(tables[chooser.table + id]);
    let history = tables[chooser.table + p.V + id]; // how often it was chosen * 2 + whether it was seen
    if ((history & 1) != 0) {
      value *= select(chooser.repeat, chooser.reward, value > 0);
    }
    if (history > 1) {
      value -= chooser.frequency * f32(history >> 1) + chooser.presence;
    }
    key = key_of(bitcast<u32>(value));
  }
  return vec2u(key, ~id);
}
