// What a tile holds in workgroup memory: four numbers of a column as f32.

// Rows of groups * 8 vec4f whose padding is zero.
@group(0) @binding(3) var<storage, read> x: array<vec4f>;

alias Cell = vec4f;

// Four columns.
struct Cells {
  a: Cell,
  b: Cell,
  c: Cell,
  d: Cell,
}

// Where a row of x starts.
fn start_of(row: vec4u) -> vec4u {
  return row * part.groups * 8;
}

// Four columns of four rows of x.
fn x_cells(at: vec4u) -> Cells {
  let columns = transpose(mat4x4f(x[at.x], x[at.y], x[at.z], x[at.w]));
  return Cells(columns[0], columns[1], columns[2], columns[3]);
}

fn w_cells(weights: mat4x4f) -> Cells {
  return Cells(weights[0], weights[1], weights[2], weights[3]);
}

// What products with a row of x have to be multiplied by.
fn x_scale(row: u32) -> f32 {
  return 1.0;
}
