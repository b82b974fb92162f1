// What a chooser keeps on the GPU, and tokens as ranks: (key, ~id), larger being better, of equal
// logits the lowest id.
struct Chooser {
  random: vec4u, // state of its generator
  inverse_temperature: f32, // 0: takes the best
  top_k: u32, // 0: off
  top_p: f32, // 1: off
  min_p: f32, // 0: off
  repeat: f32, // what negative logits of tokens seen are multiplied by
  reward: f32, // 1 / repeat, for the others
  frequency: f32,
  presence: f32,
  table: u32, // where in `tables` its biases [V] f32 and its history [V] start; NO_TABLE where it needs none
  undecided: u32, // 1 once it could not decide: it stays so, as what follows is no token of its generation
}

const NO_TABLE = 0xffffffffu;
const BANNED = 0u; // key of -Infinity, below every finite one
const BROKEN = 0xffffffffu; // key of NaN and of +Infinity, above every finite one

// A key that orders floats as unsigned numbers. Taken from the bits, as a compiler may assume that
// no float is infinite or NaN.
fn key_of(bits: u32) -> u32 {
  if (bits == 0xff800000u) {
    return BANNED;
  }
  if ((bits & 0x7f800000u) == 0x7f800000u) {
    return BROKEN;
  }
  if ((bits & 0x80000000u) == 0) {
    return bits | 0x80000000u;
  }
  return select(~bits, 0x80000000u, bits == 0x80000000u); // -0 equals 0
}

// The finite float behind a key.
fn value_of(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}

fn better(a: vec2u, b: vec2u) -> bool {
  return a.x > b.x || (a.x == b.x && a.y > b.y);
}
