// Four numbers as a tile holds them in workgroup memory: f16, in half the room.
enable f16;
alias Cell = vec4h;

fn cell(value: vec4f) -> Cell {
  return Cell(value);
}
