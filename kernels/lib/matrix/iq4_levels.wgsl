// Codes of iq4_nl's table of 16 values (iq4_nl.ts), plus 128: bytes again.
#import "lib/matrix/nibbles.wgsl"

const ZERO = 128;
const WIDE = true;

// The values of codes in the low byte of words.
fn values4(words: vec4u) -> vec4u {
  let late = (words & vec4u(4)) != vec4u();
  let low = select(vec4u(0x3f2d1801), vec4u(0x766a5d4f), late);
  let high = select(vec4u(0xa6998d81), vec4u(0xf1d9c5b5), late);
  let four = select(low, high, (words & vec4u(8)) != vec4u());
  return (four >> ((words & vec4u(3)) * 8)) & vec4u(255);
}

fn levels4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> vec4u {
  let codes = nibbles4(expert, panel, half, unit, side);
  return values4(codes) | (values4(codes >> vec4u(8)) << vec4u(8)) | (values4(codes >> vec4u(16)) << vec4u(16))
    | (values4(codes >> vec4u(24)) << vec4u(24));
}

fn levels1(expert: u32, row: u32, unit: u32, side: u32) -> u32 {
  let codes = nibbles1(expert, row, unit, side);
  let values = values4((vec4u(codes) >> vec4u(0, 8, 16, 24)) & vec4u(255));
  return values.x | (values.y << 8) | (values.z << 16) | (values.w << 24);
}
