// Keys and values cached as f32: a pair of neighbouring dimensions is a vec2f, eight are a mat2x4f.
alias KvPair = vec2f;
alias KvUnit = mat2x4f;
alias KvStored = KvUnit;

// Pairs that a head takes: padded with zeros to a multiple of four, so that eight dimensions can be
// read at once wherever they start.
fn kv_row(pairs: u32) -> u32 {
  return (pairs + 3) / 4 * 4;
}

fn kv_pack(pair: vec2f) -> KvPair {
  return pair;
}

fn kv_unit(eight: mat2x4f) -> KvUnit {
  return eight;
}

fn kv_unpack(unit: KvUnit) -> mat2x4f {
  return unit;
}
