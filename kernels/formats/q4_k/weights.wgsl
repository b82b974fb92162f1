// Weights held as 4 bits, with a scale and a min of 6 bits a group of 32 and their factors, two
// f16, a group of 256 (q4_k.ts): w = (d s) level - dmin m.
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/nibbles.wgsl"
#import "lib/matrix/super_groups.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const ZERO = 0;
const WIDE = false;
const OFFSETS = true;

fn level_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + panel * (super_groups() * 64) + unit * 2;
}

fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  return nibbles4(level_at(expert, panel, unit) + half, side);
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  return nibbles1(level_at(expert, row / 8, unit) + row / 4 % 2, row % 4, side);
}

// Where the scales and mins of a panel's rows lie, a byte each and a row after the other.
fn pairs_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.y + panel * (super_groups() * 8) + unit / 4;
}

// Where d and dmin of a panel's rows lie, a word a row.
fn factors_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.z + panel * (super_groups() * 2) + unit / 32 * 2;
}

fn scales4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  let pairs = elements4(pairs_at(expert, panel, unit), half);
  let factors = w[factors_at(expert, panel, unit) + half];
  let d = vec4f(
    unpack2x16float(factors.x).x,
    unpack2x16float(factors.y).x,
    unpack2x16float(factors.z).x,
    unpack2x16float(factors.w).x,
  );
  return d * vec4f(pairs & vec4u(255));
}

fn offsets4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  let pairs = elements4(pairs_at(expert, panel, unit), half);
  let factors = w[factors_at(expert, panel, unit) + half];
  let dmin = vec4f(
    unpack2x16float(factors.x).y,
    unpack2x16float(factors.y).y,
    unpack2x16float(factors.z).y,
    unpack2x16float(factors.w).y,
  );
  return dmin * vec4f(pairs >> vec4u(8));
}

fn scale1(expert: u32, row: u32, unit: u32) -> f32 {
  let factors = w[factors_at(expert, row / 8, unit) + row / 4 % 2][row % 4];
  return unpack2x16float(factors).x * f32(element1(pairs_at(expert, row / 8, unit), row) & 255);
}

fn offset1(expert: u32, row: u32, unit: u32) -> f32 {
  let factors = w[factors_at(expert, row / 8, unit) + row / 4 % 2][row % 4];
  return unpack2x16float(factors).y * f32(element1(pairs_at(expert, row / 8, unit), row) >> 8);
}
