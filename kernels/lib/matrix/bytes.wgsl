// The four unsigned bytes of a word, lowest first.
fn bytes4(word: u32) -> vec4f {
  return vec4f((vec4u(word) >> vec4u(0, 8, 16, 24)) & vec4u(255));
}
