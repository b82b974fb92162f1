// Keys and values cached as f32: a pair of neighbouring dimensions is a vec2f, eight are a mat2x4f.
alias KvPair = vec2f;
alias KvUnit = mat2x4f;

fn kv_pack(pair: vec2f) -> KvPair {
  return pair;
}

fn kv_unit(eight: mat2x4f) -> KvUnit {
  return eight;
}

fn kv_unpack(unit: KvUnit) -> mat2x4f {
  return unit;
}
