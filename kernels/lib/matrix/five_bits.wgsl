// Levels of five bits: four in a plane, the fifth in the next.
#import "lib/matrix/nibbles.wgsl"
#import "lib/matrix/one_bit.wgsl"

const WIDE = true;

fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  return nibbles4(expert, panel, half, unit, side) | (one_bit4(expert, panel, half, unit, side) << vec4u(4));
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  return nibbles1(expert, row, unit, side) | (one_bit1(expert, row, unit, side) << 4);
}
