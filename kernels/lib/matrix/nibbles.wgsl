// The plane of levels of four bits, a format's first: a word is eight columns, the low nibbles of
// its bytes the first four.
fn nibbles_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + panel * (padded_groups() * 8) + unit * 2;
}

fn nibbles4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  return (w[nibbles_at(expert, panel, unit) + half] >> vec4u(side * 4)) & vec4u(0x0f0f0f0f);
}

fn nibbles1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  return (w[nibbles_at(expert, row / 8, unit) + row / 4 % 2][row % 4] >> (side * 4)) & 0x0f0f0f0f;
}
