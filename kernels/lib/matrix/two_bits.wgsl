// The plane TWO_BITS of levels, or of their high bits: a word is 16 columns, two bits of each byte
// those of four columns.
fn two_bits_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes[TWO_BITS] + panel * (padded_groups() * 4) + unit / 2 * 2;
}

fn two_bits4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  let words = w[two_bits_at(expert, panel, unit) + half];
  return (words >> vec4u(unit % 2 * 4 + side * 2)) & vec4u(0x03030303);
}

fn two_bits1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  let word = w[two_bits_at(expert, row / 8, unit) + row / 4 % 2][row % 4];
  return (word >> (unit % 2 * 4 + side * 2)) & 0x03030303;
}
