// Four numbers as a tile holds them in workgroup memory: f32.
alias Cell = vec4f;

fn cell(value: vec4f) -> Cell {
  return value;
}
