// The same as key_float.wgsl of int8: levels, and the scale of their group. Uses the kernel's
// binding `keys` and its params.

fn key_unit(place: u32, unit: u32) -> KvUnit {
  let four = keys[place + kv_groups(p.pairs) * 4 + unit / 16];
  return kv_read(keys[place + unit], four, unit / 4);
}
