// For formats without offsets: a group's weights lie around zero.
const OFFSETS = false;

fn offsets4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  return vec4f();
}

fn offset1(expert: u32, row: u32, unit: u32) -> f32 {
  return 0;
}
