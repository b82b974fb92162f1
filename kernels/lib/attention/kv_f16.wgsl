// Keys and values cached as f16: a pair of neighbouring dimensions is one word, eight are a vec4u.
// Needs no device feature.
alias KvPair = u32;
alias KvUnit = vec4u;
alias KvStored = KvUnit;

// Pairs that a head takes: padded with zeros to a multiple of four, so that eight dimensions can be
// read at once wherever they start.
fn kv_row(pairs: u32) -> u32 {
  return (pairs + 3) / 4 * 4;
}

fn kv_pack(pair: vec2f) -> KvPair {
  // Past f16's largest number the result of packing is undefined.
  return pack2x16float(clamp(pair, vec2f(-65504), vec2f(65504)));
}

fn kv_unit(eight: mat2x4f) -> KvUnit {
  return vec4u(kv_pack(eight[0].xy), kv_pack(eight[0].zw), kv_pack(eight[1].xy), kv_pack(eight[1].zw));
}

fn kv_unpack(unit: KvUnit) -> mat2x4f {
  return mat2x4f(
    vec4f(unpack2x16float(unit.x), unpack2x16float(unit.y)),
    vec4f(unpack2x16float(unit.z), unpack2x16float(unit.w)),
  );
}
