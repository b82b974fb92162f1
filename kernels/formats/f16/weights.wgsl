// Weights held as f16. unpack2x16float needs no device feature.
#import "lib/matrix/halves.wgsl"
@group(0) @binding(0) var<storage, read> w: array<vec4u>;

fn numbers2(word: u32) -> vec2f {
  return unpack2x16float(word);
}
