// Levels of four bits: a word is eight columns, the low nibbles of its bytes the first four.
fn nibbles4(at: u32, side: u32) -> vec4u {
  return (w[at] >> vec4u(side * 4)) & vec4u(0x0f0f0f0f);
}

fn nibbles1(at: u32, lane: u32, side: u32) -> u32 {
  return (w[at][lane] >> (side * 4)) & 0x0f0f0f0f;
}
