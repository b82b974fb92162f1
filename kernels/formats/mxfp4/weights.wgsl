// Weights held as e2m1, a sign and a magnitude of four bits, with an exponent a group of 32
// (mxfp4.ts). Two groups' exponents are an element.
#import "lib/matrix/levels.wgsl"
#import "lib/matrix/nibbles.wgsl"
#import "lib/matrix/no_offsets.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

const SPAN = 1u;
const ZERO = 12;
const WIDE = false;

fn padded_groups() -> u32 {
  return (part.groups + 1) / 2 * 2;
}

// Codes to levels, four bytes at once: 12 plus or minus 0, 1, 2, 3, 4, 6, 8 or 12. From 4 on, bits
// 0 and 1 count twice, and both together twice more.
fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  let codes = nibbles4(expert, panel, half, unit, side);
  let again = codes & (((codes >> vec4u(2)) & vec4u(0x01010101)) * 3);
  let both = again & (again >> vec4u(1)) & vec4u(0x01010101);
  let magnitudes = (codes & vec4u(0x07070707)) + again + both * 2;
  let negative = ((codes >> vec4u(3)) & vec4u(0x01010101)) * 255;
  return magnitudes + vec4u(0x0c0c0c0c) - (magnitudes & negative) * 2;
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  let codes = nibbles1(expert, row, unit, side);
  let again = codes & (((codes >> 2) & 0x01010101) * 3);
  let both = again & (again >> 1) & 0x01010101;
  let magnitudes = (codes & 0x07070707) + again + both * 2;
  let negative = ((codes >> 3) & 0x01010101) * 255;
  return magnitudes + 0x0c0c0c0c - (magnitudes & negative) * 2;
}

fn exponent_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes.y + panel * (padded_groups() / 2) + unit / 8;
}

// 2^(e - 128); the first two are subnormal.
fn scales4(expert: u32, panel: u32, half: u32, unit: u32) -> vec4f {
  let e = (elements4(exponent_at(expert, panel, unit), half) >> vec4u(unit / 4 % 2 * 8)) & vec4u(255);
  return bitcast<vec4f>(select((e - 1) << vec4u(23), vec4u(0x200000) << e, e < vec4u(2)));
}

fn scale1(expert: u32, row: u32, unit: u32) -> f32 {
  let e = (element1(exponent_at(expert, row / 8, unit), row) >> (unit / 4 % 2 * 8)) & 255;
  return bitcast<f32>(select((e - 1) << 23, 0x200000u << (e & 1), e < 2));
}
