// Scales that are f16, one a group of 32 columns, in the plane SCALES.
fn scale_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes[SCALES] + panel * part.groups + unit / 4;
}

fn scales4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  return halves4(scale_at(expert, panel, unit), half);
}

fn scale1(expert: u32, row: u32, unit: u32) -> f32 {
  return half1(scale_at(expert, row / 8, unit), row);
}
