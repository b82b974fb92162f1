// The arithmetic of layers with states in naive float64, written from the formulas.

import type { DeltaShape } from "../../src/tensor/delta_shape.ts";

type Numbers = Float32Array | Float64Array;

/**
 * silu of a causal convolution of x [T, C] with w [taps, C]; gated: of [T, 3 C], B, C and x, C ⊙ (w
 * * (B ⊙ x)). -> [T, C]
 */
export function conv(x: Numbers, w: Numbers, C: number, gated: boolean): Float64Array {
  const [taps, width] = [w.length / C, gated ? 3 * C : C];
  const T = x.length / width;
  const y = new Float64Array(T * C);
  for (let t = 0; t < T; t++)
    for (let c = 0; c < C; c++) {
      let sum = 0;
      for (let j = Math.max(0, t - taps + 1); j <= t; j++) {
        const input = gated ? x[j * width + c]! * x[j * width + 2 * C + c]! : x[j * width + c]!;
        sum += w[(taps - 1 - (t - j)) * C + c]! * input;
      }
      y[t * C + c] = gated ? sum * x[t * width + C + c]! : sum / (1 + Math.exp(-sum));
    }
  return y;
}

/**
 * The gated delta rule as its formula: qkv [T, 2 Hk dk + Hv dv], gates [T, 2 Hv] as b, a.
 * -> [T, Hv dv]
 */
export function deltaRule(
  qkv: Numbers,
  gates: Numbers,
  aLog: Numbers,
  dtBias: Numbers,
  { keyHeads, valueHeads, keyDim, valueDim, tiled }: DeltaShape,
): Float64Array {
  const width = 2 * keyHeads * keyDim + valueHeads * valueDim;
  const T = qkv.length / width;
  const y = new Float64Array(T * valueHeads * valueDim);
  const unit = (v: Numbers): number[] => {
    const values = [...v];
    const length = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) + 1e-6);
    return values.map((value) => value / length);
  };
  for (let h = 0; h < valueHeads; h++) {
    const S = Array.from({ length: keyDim }, () => new Float64Array(valueDim));
    const own = tiled ? h % keyHeads : Math.floor((h * keyHeads) / valueHeads);
    for (let t = 0; t < T; t++) {
      const row = qkv.subarray(t * width, (t + 1) * width);
      const q = unit(row.subarray(own * keyDim, (own + 1) * keyDim)).map((value) => value / Math.sqrt(keyDim));
      const k = unit(row.subarray((keyHeads + own) * keyDim, (keyHeads + own + 1) * keyDim));
      const v = row.subarray(2 * keyHeads * keyDim + h * valueDim);
      const beta = 1 / (1 + Math.exp(-gates[2 * t * valueHeads + h]!));
      const g = -Math.exp(aLog[h]!) * Math.log1p(Math.exp(gates[(2 * t + 1) * valueHeads + h]! + dtBias[h]!));
      for (const values of S) for (let j = 0; j < valueDim; j++) values[j]! *= Math.exp(g);
      for (let j = 0; j < valueDim; j++) {
        const known = S.reduce((sum, values, i) => sum + values[j]! * k[i]!, 0);
        for (const [i, values] of S.entries()) values[j]! += k[i]! * beta * (v[j]! - known);
        y[(t * valueHeads + h) * valueDim + j] = S.reduce((sum, values, i) => sum + values[j]! * q[i]!, 0);
      }
    }
  }
  return y;
}
