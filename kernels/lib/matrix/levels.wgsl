// Loads of quantized weights, w = scale * (level - ZERO) - offset, where levels are bytes.
//
// A format's own weights.wgsl imports this file and defines what differs between formats:
//
//   ZERO, OFFSETS    constants: the level of weight 0; whether there are offsets
//   WIDE             constant: whether a level takes more than half of a byte
//   SPAN             constant: units of eight columns that products of single rows take at once, 1
//                    or 2: as many as lie in a word and share a scale
//   levels4(expert, panel, half, unit, side)
//                    a word for each of four rows, the first (half 0) or the last of a panel:
//                    their columns 8 unit + 4 side .. 8 unit + 4 side + 3; unit a multiple of SPAN
//                    and side below 2 SPAN, or any unit and side 0 or 1
//   levels1(expert, row, unit, side)      the same of one row
//   scales4, scale1, offsets4, offset1    of those rows, for the eight columns of `unit`
//
// Experts, panels and rows count from the part's first.
#import "lib/matrix/part.wgsl"

// The four unsigned bytes of a word, lowest first.
fn bytes4(word: u32) -> vec4f {
  return vec4f((vec4u(word) >> vec4u(0, 8, 16, 24)) & vec4u(255));
}

// A panel's elements of 16 bits are a vec4u, two rows a word. Those of four rows:
fn elements4(at: u32, half: u32) -> vec4u {
  let words = w[at];
  let two = select(words.xy, words.zw, half == 1);
  return (two.xxyy >> vec4u(0, 16, 0, 16)) & vec4u(0xffff);
}

fn element1(at: u32, row: u32) -> u32 {
  return (w[at][row % 8 / 2] >> (row % 2 * 16)) & 0xffff;
}

// The same where they are f16.
fn halves4(at: u32, half: u32) -> vec4f {
  let words = w[at];
  let two = select(words.xy, words.zw, half == 1);
  return vec4f(unpack2x16float(two.x), unpack2x16float(two.y));
}

fn half1(at: u32, row: u32) -> f32 {
  return unpack2x16float(w[at][row % 8 / 2])[row % 2];
}

// Columns 8 unit .. 8 unit + 7 of a row.
fn weights8(expert: u32, row: u32, unit: u32) -> Eight {
  let scale = scale1(expert, row, unit);
  let lo = scale * (bytes4(levels1(expert, row, unit, 0)) - ZERO);
  let hi = scale * (bytes4(levels1(expert, row, unit, 1)) - ZERO);
  if (OFFSETS) {
    let offset = offset1(expert, row, unit);
    return Eight(lo - offset, hi - offset);
  }
  return Eight(lo, hi);
}

// Columns 8 unit + 4 side .. 8 unit + 4 side + 3, a column each, of half a panel.
fn half4x4(expert: u32, panel: u32, half: u32, unit: u32, side: u32) -> mat4x4f {
  let levels = levels4(expert, panel, half, unit, side);
  let scales = scales4(expert, panel, half, unit);
  // What is taken off is multiplied too, so that a weight is one multiplication with an addition.
  var less = ZERO * scales;
  if (OFFSETS) {
    less += offsets4(expert, panel, half, unit);
  }
  return mat4x4f(
    scales * vec4f(levels & vec4u(255)) - less,
    scales * vec4f((levels >> vec4u(8)) & vec4u(255)) - less,
    scales * vec4f((levels >> vec4u(16)) & vec4u(255)) - less,
    scales * vec4f(levels >> vec4u(24)) - less,
  );
}

// Levels less the zero point, as int8: a word a row.
fn centred4(levels: vec4u) -> vec4u {
  if (ZERO == 128) {
    return levels ^ vec4u(0x80808080); // flipping the sign bit takes 128 off
  }
  // With the top bit set no byte borrows from its neighbour.
  return ((levels | vec4u(0x80808080)) - vec4u(ZERO * 0x01010101)) ^ vec4u(0x80808080);
}

// The same of columns 4 quad .. 4 quad + 3 of rows row .. row + 3; row a multiple of 4.
fn levels4x4(expert: u32, row: u32, quad: u32) -> vec4u {
  return centred4(levels4(expert, row / 8, row / 4 % 2, quad / 2, quad % 2));
}
