// Two f16 a word: the first and the second of four rows' words.
fn first4(words: vec4u) -> vec4f {
  return vec4f(
    unpack2x16float(words.x).x,
    unpack2x16float(words.y).x,
    unpack2x16float(words.z).x,
    unpack2x16float(words.w).x,
  );
}

fn second4(words: vec4u) -> vec4f {
  return vec4f(
    unpack2x16float(words.x).y,
    unpack2x16float(words.y).y,
    unpack2x16float(words.z).y,
    unpack2x16float(words.w).y,
  );
}
