// h = f(gate + its bias) * (up + its bias): what is between the two halves of an expert.

import type { Activation, Gating } from "../src/tensor/activation.ts";

/** Columns [from, to) of h [n, F]; both [n, 2F] has a gate and an up in turn. */
export function activate(
  both: Float32Array,
  { activation, limit, bias }: Gating,
  h: Float32Array,
  F: number,
  from: number,
  to: number,
  n: number,
): void {
  for (let t = 0; t < n; t++)
    for (let f = from; f < to; f++) {
      const at = 2 * (t * F + f);
      const gate = both[at]! + (bias ? bias[2 * f]! : 0);
      const up = both[at + 1]! + (bias ? bias[2 * f + 1]! : 0);
      h[t * F + f] = gated(activation, limit, gate, up);
    }
}

/** One output of a gate g and an up u. */
function gated(activation: Activation, limit: number, g: number, u: number): number {
  switch (activation) {
    case "silu":
      return (g / (1 + Math.exp(-g))) * u;
    case "gelu":
      return g * (1 - 0.5 * erfc(g * Math.SQRT1_2)) * u;
    case "gelu_tanh": {
      const z = 2 * Math.sqrt(2 / Math.PI) * (g + 0.044715 * g ** 3); // (1 + tanh(z/2)) / 2 is sigmoid(z)
      return (g / (1 + Math.exp(-z))) * u;
    }
    case "relu2":
      return Math.max(g, 0) ** 2 * u;
    case "swiglu_oai": {
      const gate = Math.min(g, limit);
      const up = Math.max(-limit, Math.min(u, limit));
      return (gate / (1 + Math.exp(-1.702 * gate))) * (up + 1);
    }
  }
}

/** Coefficients of erfc, last to first: Numerical Recipes, "erfcc", to 1.2e-7 of it. */
const ERFC = [
  0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
  -1.26551223,
];

/** 1 - erf(x). */
function erfc(x: number): number {
  const t = 1 / (1 + 0.5 * Math.abs(x));
  const y = t * Math.exp(-x * x + ERFC.reduce((sum, c) => sum * t + c));
  return x >= 0 ? y : 2 - y;
}
