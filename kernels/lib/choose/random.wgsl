// xoshiro128**, as src/engine/random.ts has it.

// The state two numbers on: the host takes 27 bits of one and 26 of the next.
fn random_after_two(state: vec4u) -> vec4u {
  var s = state;
  for (var i = 0u; i < 2; i++) {
    let t = s.y << 9;
    s.z ^= s.x;
    s.w ^= s.y;
    s.y ^= s.z;
    s.x ^= s.w;
    s.z ^= t;
    s.w = (s.w << 11) | (s.w >> 21);
  }
  return s;
}

// The upper 24 bits of what comes next, which an f32 holds exactly.
fn random_24_bits(state: vec4u) -> u32 {
  let x = state.y * 5;
  return (((x << 7) | (x >> 25)) * 9) >> 8;
}
