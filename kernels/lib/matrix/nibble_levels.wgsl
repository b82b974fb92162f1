// Levels that are four bits.
#import "lib/matrix/nibbles.wgsl"

const WIDE = false;

fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  return nibbles4(expert, panel, half, unit, side);
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  return nibbles1(expert, row, unit, side);
}
