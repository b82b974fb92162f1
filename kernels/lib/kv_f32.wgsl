// Keys and values cached as f32: a pair of neighbouring dimensions is a vec2f.
alias KvPair = vec2f;

fn kv_pack(pair: vec2f) -> KvPair {
  return pair;
}

fn kv_unpack(pair: KvPair) -> vec2f {
  return pair;
}
