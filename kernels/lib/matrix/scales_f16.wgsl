// Scales that are f16, one a group of 32 columns, in the plane behind the levels: those of a
// panel's rows in four words.
fn scale_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.y + panel * part.groups + unit / 4;
}

fn scales4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  let words = w[scale_at(expert, panel, unit)];
  let two = select(words.xy, words.zw, half == 1);
  return vec4f(unpack2x16float(two.x), unpack2x16float(two.y));
}

fn scale1(expert: u32, row: u32, unit: u32) -> f32 {
  return unpack2x16float(w[scale_at(expert, row / 8, unit)][row % 8 / 2])[row % 2];
}
