// A factor of scales, an f16 a group of 256 columns in the plane FACTORS.
#import "lib/matrix/super_groups.wgsl"
#import "lib/matrix/no_offsets.wgsl"

fn factor_at(expert: u32, panel: u32, unit: u32) -> u32 {
  return expert * part.stride + part.planes[FACTORS] + panel * super_groups() + unit / 32;
}

// The byte of a word that begins at a bit, as int8.
fn signed_byte(word: u32, bit: u32) -> i32 {
  return bitcast<i32>(word << (24 - bit)) >> 24;
}
