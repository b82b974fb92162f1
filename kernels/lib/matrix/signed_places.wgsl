// Codes of four bits: the place of one of eight magnitudes, and 8 for minus. The format's
// weights.wgsl has the magnitudes of four places, a byte each: magnitudes().
#import "lib/matrix/nibbles.wgsl"

const WIDE = true;

fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  let codes = nibbles4(expert, panel, half, unit, side);
  let found = magnitudes(codes & vec4u(0x07070707));
  let negative = ((codes >> vec4u(3)) & vec4u(0x01010101)) * 255;
  return found + vec4u(ZERO * 0x01010101) - (found & negative) * 2;
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  let codes = nibbles1(expert, row, unit, side);
  let found = magnitudes(vec4u(codes & 0x07070707)).x;
  let negative = ((codes >> 3) & 0x01010101) * 255;
  return found + ZERO * 0x01010101 - (found & negative) * 2;
}
