// Weights held as f16: a unit of 8 weights is one vec4u of four pairs. unpack2x16float needs no device feature.
#import "lib/part.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

// Columns 8 unit .. 8 unit + 7 of a row; expert and row count from the part's first.
fn weights8(expert: u32, row: u32, unit: u32) -> Eight {
  let pairs = w[expert * (part.stride / 4) + row * (part.groups * 4) + unit];
  return Eight(
    vec4f(unpack2x16float(pairs.x), unpack2x16float(pairs.y)),
    vec4f(unpack2x16float(pairs.z), unpack2x16float(pairs.w)),
  );
}
