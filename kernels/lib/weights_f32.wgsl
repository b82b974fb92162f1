// Weights held as f32: a unit of 8 weights is two vec4f.
#import "lib/part.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4f>;

// Columns 8 unit .. 8 unit + 7 of a row; expert and row count from the part's first.
fn weights8(expert: u32, row: u32, unit: u32) -> Eight {
  let at = expert * (part.stride / 4) + row * (part.groups * 8) + unit * 2;
  return Eight(w[at], w[at + 1]);
}
