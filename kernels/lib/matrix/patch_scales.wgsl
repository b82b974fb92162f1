// The scales of rows row .. row + 3, row a multiple of 4, for the group that the quad of columns is in.
fn patch_scales(expert: u32, row: u32, quad: u32) -> vec4f {
  let words = scales8(expert, row, quad / 2);
  let two = select(words.xy, words.zw, row / 4 % 2 == 1);
  return vec4f(unpack2x16float(two.x), unpack2x16float(two.y));
}
