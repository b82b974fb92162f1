// The plane of levels' highest bits, a format's second: a word is 32 columns, a bit of each byte
// those of four columns.
fn one_bit_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.y + panel * (padded_groups() * 2) + unit / 4 * 2;
}

fn one_bit4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  return (w[one_bit_at(expert, panel, unit) + half] >> vec4u(unit % 4 * 2 + side)) & vec4u(0x01010101);
}

fn one_bit1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  return (w[one_bit_at(expert, row / 8, unit) + row / 4 % 2][row % 4] >> (unit % 4 * 2 + side)) & 0x01010101;
}
