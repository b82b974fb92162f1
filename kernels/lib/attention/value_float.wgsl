// A unit of a value: eight dimensions from 8 `unit` on of a head at `place`, counted in units. Uses
// the kernel's binding `values`.

fn value_unit(place: u32, unit: u32) -> KvUnit {
  return values[place + unit];
}
