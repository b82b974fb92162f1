// A unit of a key: eight dimensions from 8 `unit` on of a head at `place`, counted in units. Uses
// the kernel's binding `keys`.

fn key_unit(place: u32, unit: u32) -> KvUnit {
  return keys[place + unit];
}
