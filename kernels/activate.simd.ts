// h = f(gate + its bias) * (up + its bias), four outputs at a time, for experts whose activation
// is not silu, or that have biases. activate.ts has the formulas.

import { exp4 } from "./lib/simd/lanes.simd";

// @ts-ignore: decorator
@inline const GELU: u32 = 1;
// @ts-ignore: decorator
@inline const GELU_TANH: u32 = 2;
// @ts-ignore: decorator
@inline const RELU2: u32 = 3;
// @ts-ignore: decorator
@inline const SWIGLU_OAI: u32 = 4;

/** x sigmoid(z). */
// @ts-ignore: decorator
@inline function sigmoidTimes(x: v128, z: v128): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(1.0), exp4(f32x4.neg(z))));
}

/** p t + c. */
// @ts-ignore: decorator
@inline function step(p: v128, t: v128, c: f32): v128 {
  return f32x4.add(f32x4.mul(p, t), f32x4.splat(c));
}

/** 1 - erf(x), as activate.ts has it. */
function erfc(x: v128): v128 {
  const one = f32x4.splat(1.0);
  const t = f32x4.div(one, step(f32x4.abs(x), f32x4.splat(0.5), 1.0));
  let p = f32x4.splat(<f32>0.17087277);
  p = step(p, t, <f32>-0.82215223);
  p = step(p, t, <f32>1.48851587);
  p = step(p, t, <f32>-1.13520398);
  p = step(p, t, <f32>0.27886807);
  p = step(p, t, <f32>-0.18628806);
  p = step(p, t, <f32>0.09678418);
  p = step(p, t, <f32>0.37409196);
  p = step(p, t, <f32>1.00002368);
  p = step(p, t, <f32>-1.26551223);
  const y = f32x4.mul(t, exp4(f32x4.sub(p, f32x4.mul(x, x))));
  return v128.bitselect(f32x4.sub(f32x4.splat(2.0), y), y, f32x4.lt(x, f32x4.splat(0.0)));
}

// @ts-ignore: decorator
@inline function gated(activation: u32, limit: f32, g: v128, u: v128): v128 {
  if (activation == GELU) {
    const half = f32x4.mul(f32x4.splat(0.5), erfc(f32x4.mul(g, f32x4.splat(<f32>0.7071067811865476))));
    return f32x4.mul(f32x4.mul(g, f32x4.sub(f32x4.splat(1.0), half)), u);
  }
  if (activation == GELU_TANH) {
    const cube = f32x4.mul(f32x4.mul(g, g), g);
    const inner = f32x4.add(g, f32x4.mul(f32x4.splat(<f32>0.044715), cube));
    return f32x4.mul(sigmoidTimes(g, f32x4.mul(f32x4.splat(<f32>1.5957691216057308), inner)), u);
  }
  if (activation == RELU2) {
    const positive = f32x4.max(g, f32x4.splat(0.0));
    return f32x4.mul(f32x4.mul(positive, positive), u);
  }
  if (activation == SWIGLU_OAI) {
    const most = f32x4.splat(limit);
    const gate = f32x4.min(g, most);
    const up = f32x4.max(f32x4.min(u, most), f32x4.neg(most));
    const own = sigmoidTimes(gate, f32x4.mul(gate, f32x4.splat(<f32>1.702)));
    return f32x4.mul(own, f32x4.add(up, f32x4.splat(1.0)));
  }
  return f32x4.mul(sigmoidTimes(g, g), u);
}

/**
 * Rows [from, to) of h [n, F]: both [n, 2F] has a gate and an up in turn, so has bias [2F]; 0: no
 * bias. `activation`: its place in ACTIVATIONS of src/backend/cpu/simd_products.ts.
 */
export function activateRows(
  from: u32,
  to: u32,
  thread: u32,
  activation: u32,
  limit: f32,
  both: usize,
  bias: usize,
  F: u32,
  h: usize,
): void {
  const fours = F / 4;
  for (let t = from; t < to; t++) {
    const x = both + <usize>t * F * 8;
    const y = h + <usize>t * F * 4;
    for (let i: u32 = 0; i < fours; i++) {
      const at = <usize>i * 32;
      let low = v128.load(x + at);
      let high = v128.load(x + at, 16);
      if (bias != 0) {
        low = f32x4.add(low, v128.load(bias + at));
        high = f32x4.add(high, v128.load(bias + at, 16));
      }
      const gate = v128.shuffle<i32>(low, high, 0, 2, 4, 6);
      const up = v128.shuffle<i32>(low, high, 1, 3, 5, 7);
      v128.store(y + <usize>i * 16, gated(activation, limit, gate, up));
    }
    for (let f = fours * 4; f < F; f++) {
      const at = <usize>f * 8;
      let gate = load<f32>(x + at);
      let up = load<f32>(x + at, 4);
      if (bias != 0) {
        gate += load<f32>(bias + at);
        up += load<f32>(bias + at, 4);
      }
      const own = gated(activation, limit, f32x4.splat(gate), f32x4.splat(up));
      store<f32>(y + <usize>f * 4, f32x4.extract_lane(own, 0));
    }
  }
}
