// silu(g) u: the activation of the expert FFN.
#import "lib/silu.wgsl"

fn gated(g: f32, u: f32) -> f32 {
  return silu(g) * u;
}
