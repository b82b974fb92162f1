// Keys and values cached as int8 in groups of 32, with the largest magnitude of each as f16
// (append_q8.ts): eight levels are a vec2u, and so are four magnitudes, which follow the levels of
// a head. Needs no device feature.
alias KvStored = vec2u;
// Eight levels, and the bits of what they are multiplied by.
alias KvUnit = vec3u;

fn kv_groups(pairs: u32) -> u32 {
  return (pairs + 15) / 16;
}

// Pairs that a head takes: eight bytes are counted as four.
fn kv_row(pairs: u32) -> u32 {
  let groups = kv_groups(pairs);
  return (groups * 4 + (groups + 3) / 4) * 4;
}

// A unit of levels with the scale of its group, which is among these four magnitudes.
fn kv_read(levels: vec2u, four: vec2u, group: u32) -> KvUnit {
  let two = unpack2x16float(select(four.x, four.y, (group & 2) == 2));
  return vec3u(levels, bitcast<u32>(select(two.x, two.y, (group & 1) == 1) / 127));
}

fn four_levels(word: u32) -> vec4f {
  return vec4f(bitcast<vec4i>(vec4u(word) << vec4u(24, 16, 8, 0)) >> vec4u(24));
}

fn kv_unpack(unit: KvUnit) -> mat2x4f {
  let scale = bitcast<f32>(unit.z);
  return mat2x4f(four_levels(unit.x) * scale, four_levels(unit.y) * scale);
}
