// What a tile holds in workgroup memory: four numbers of a column as f16, in half the room.
enable f16;

// Rows of groups * 8 times four columns as f16, and a scale: to_f16.wgsl.
@group(0) @binding(3) var<storage, read> x: array<vec2u>;

alias Cell = vec4h;

// Four columns.
struct Cells {
  a: Cell,
  b: Cell,
  c: Cell,
  d: Cell,
}

// Weights from 1e-6 to 1000 are numbers that f16 has in full: a device may take smaller ones than
// 2^-14 for zero.
const WEIGHT_SCALE = 64.0;

// Where a row of x starts.
fn start_of(row: vec4u) -> vec4u {
  return row * (part.groups * 8 + 1);
}

// Four columns of four rows of x.
fn x_cells(at: vec4u) -> Cells {
  let a = bitcast<vec4h>(x[at.x]);
  let b = bitcast<vec4h>(x[at.y]);
  let c = bitcast<vec4h>(x[at.z]);
  let d = bitcast<vec4h>(x[at.w]);
  return Cells(Cell(a.x, b.x, c.x, d.x), Cell(a.y, b.y, c.y, d.y), Cell(a.z, b.z, c.z, d.z), Cell(a.w, b.w, c.w, d.w));
}

fn w_cells(weights: mat4x4f) -> Cells {
  let scaled = weights * WEIGHT_SCALE;
  return Cells(Cell(scaled[0]), Cell(scaled[1]), Cell(scaled[2]), Cell(scaled[3]));
}

// What products with a row of x have to be multiplied by.
fn x_scale(row: u32) -> f32 {
  return bitcast<f32>(x[row * (part.groups * 8 + 1) + part.groups * 8].x) / WEIGHT_SCALE;
}
