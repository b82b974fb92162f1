// Integers of scales: int8, one a group of 32 columns, two groups an element of the plane after the
// levels.
fn scale_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.y + panel * (super_groups() * 4) + unit / 8;
}

fn integers4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4i {
  let scales = elements4(scale_at(expert, panel, unit), half) << vec4u(24 - unit / 4 % 2 * 8);
  return bitcast<vec4i>(scales) >> vec4u(24);
}

fn integers1(expert: u32, row: u32, unit: u32) -> i32 {
  return signed_byte(element1(scale_at(expert, row / 8, unit), row), unit / 4 % 2 * 8);
}
