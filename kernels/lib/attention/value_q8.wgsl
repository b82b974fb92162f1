// The same as value_float.wgsl of int8: levels, and the scale of their group. Uses the kernel's
// binding `values` and its params.

fn value_unit(place: u32, unit: u32) -> KvUnit {
  let four = values[place + kv_groups(p.pairs) * 4 + unit / 16];
  return kv_read(values[place + unit], four, unit / 4);
}
