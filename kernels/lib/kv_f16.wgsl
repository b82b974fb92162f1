// Keys and values cached as f16: a pair of neighbouring dimensions is one word. Needs no device feature.
alias KvPair = u32;

fn kv_pack(pair: vec2f) -> KvPair {
  // Past f16's largest number the result of packing is undefined.
  return pack2x16float(clamp(pair, vec2f(-65504), vec2f(65504)));
}

fn kv_unpack(pair: KvPair) -> vec2f {
  return unpack2x16float(pair);
}
