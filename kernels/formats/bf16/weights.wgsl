// Weights held as bf16, the upper halves of f32s.
#import "lib/matrix/halves.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

fn numbers2(word: u32) -> vec2f {
  return bitcast<vec2f>(vec2u(word << 16, word & 0xffff0000));
}
