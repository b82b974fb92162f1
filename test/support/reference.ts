// The forward pass's arithmetic in naive float64, written from the formulas and sharing no code
// with the kernels.

import { expect } from "vitest";
import type { Attention } from "../../src/backend/ops.ts";
import type { Activation } from "../../src/tensor/activation.ts";
import type { ExpertData } from "./memory_source.ts";

export { Timeline } from "./timeline.ts";

export type Numbers = Float32Array | Float64Array;

/** y = x wᵀ + bias: x [T, D], w [N, D], bias [N] -> [T, N]. */
export function matmul(x: Numbers, w: Numbers, D: number, bias: Numbers | null = null): Float64Array {
  const T = x.length / D;
  const N = w.length / D;
  const y = new Float64Array(T * N);
  for (let t = 0; t < T; t++)
    for (let n = 0; n < N; n++) {
      let sum = bias?.[n] ?? 0;
      for (let d = 0; d < D; d++) sum += x[t * D + d]! * w[n * D + d]!;
      y[t * N + n] = sum;
    }
  return y;
}

/** x / sqrt(mean(x²) + eps) * w, by row: x [T, D], w [D]. */
export function rmsNorm(x: Numbers, w: Numbers, eps: number): Float64Array {
  const D = w.length;
  const y = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += D) {
    let sum = 0;
    for (let d = 0; d < D; d++) sum += x[row + d]! ** 2;
    for (let d = 0; d < D; d++) y[row + d] = (x[row + d]! / Math.sqrt(sum / D + eps)) * w[d]!;
  }
  return y;
}

/** (x - mean) / sqrt(variance + eps) * w + b, by row: x [T, D], w and b [D]. */
export function layerNorm(x: Numbers, w: Numbers, b: Numbers, eps: number): Float64Array {
  const D = w.length;
  const y = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += D) {
    const own = [...x.subarray(row, row + D)];
    const mean = own.reduce((sum, value) => sum + value, 0) / D;
    const variance = own.reduce((sum, value) => sum + (value - mean) ** 2, 0) / D;
    for (let d = 0; d < D; d++) y[row + d] = ((own[d]! - mean) / Math.sqrt(variance + eps)) * w[d]! + b[d]!;
  }
  return y;
}

export interface Geometry {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly scale: number;
  readonly window: number | null;
  /** [H]: logits that join the softmax and have no value. */
  readonly logits?: Numbers;
  /** Values are the last numbers of keys, so many. */
  readonly latent?: number;
}

/** RoPE's inverse frequencies as transformers has them, in f32: theta^(-2i/rd), [rd/2]. */
export function inverseFrequencies(theta: number, rd: number): Float64Array {
  return Float64Array.from({ length: rd / 2 }, (_, i) =>
    Math.fround(1 / Math.fround(theta ** Math.fround((2 * i) / rd))),
  );
}

/**
 * RMS norms of q and k, over runs of as many values as each has weights: qkv [T, (H + 2 Hkv) Dh].
 */
export function qkNorm(
  qkv: Numbers,
  { heads, kvHeads, headDim }: Pick<Geometry, "heads" | "kvHeads" | "headDim">,
  q: Numbers,
  k: Numbers,
  eps: number,
): Float64Array {
  const width = (heads + 2 * kvHeads) * headDim;
  const y = Float64Array.from(qkv);
  for (let at = 0; at < y.length; at += width) {
    const endOfQ = at + heads * headDim;
    const endOfK = endOfQ + kvHeads * headDim;
    y.set(rmsNorm(y.slice(at, endOfQ), q, eps), at);
    y.set(rmsNorm(y.slice(endOfQ, endOfK), k, eps), endOfQ);
  }
  return y;
}

/** Values cut at ±limit; absent: as they are. */
export function clip(x: Float64Array, limit = Number.POSITIVE_INFINITY): Float64Array {
  return x.map((value) => Math.min(Math.max(value, -limit), limit));
}

/**
 * RoPE as transformers does it: the angle is rounded to f32, pairs are (i, i + rd/2) of the first
 * rd dimensions of a head. qkv [T, (H + 2 Hkv) Dh]: q and k rotated, v unchanged.
 */
export function rope(
  qkv: Numbers,
  positions: Uint32Array,
  g: Pick<Geometry, "heads" | "kvHeads" | "headDim"> & Pick<Attention, "rope">,
): Float64Array {
  const { heads, kvHeads, headDim } = g;
  const { inverse, factor } = g.rope;
  const width = (heads + 2 * kvHeads) * headDim;
  const y = Float64Array.from(qkv);
  for (let t = 0; t < positions.length; t++)
    for (let head = 0; head < heads + kvHeads; head++)
      for (let i = 0; i < inverse.length; i++) {
        const angle = Math.fround(positions[t]! * inverse[i]!);
        const [cos, sin] = [Math.cos(angle) * factor, Math.sin(angle) * factor];
        const a = t * width + head * headDim + i;
        const b = a + inverse.length;
        y[a] = qkv[a]! * cos - qkv[b]! * sin;
        y[b] = qkv[b]! * cos + qkv[a]! * sin;
      }
  return y;
}

/** Each head's own product: x [T, H cols], w [H] of [rows, cols] -> [T, H rows]. */
export function heads(x: Numbers, w: readonly Numbers[], H: number, cols: number): Float64Array {
  const T = x.length / (H * cols);
  const rows = Array.from({ length: T }, (_, t) =>
    w.flatMap((own, h) => [...matmul(x.subarray((t * H + h) * cols, (t * H + h + 1) * cols), own, cols)]),
  );
  return Float64Array.from(rows.flat());
}

/**
 * Multi-head latent attention's queries and key: of q [T, H (nope + turned)] and c [T, kv + turned]
 * [T, (H + 1) (turned + kv)], each the turned part, then that over the latent.
 */
export function latent(
  q: Numbers,
  c: Numbers,
  of: {
    readonly H: number;
    readonly nope: number;
    readonly turned: number;
    readonly kv: number;
    readonly weights: readonly Numbers[]; // [H] of [kv, nope]
    readonly norm: Numbers;
    readonly eps: number;
  },
  positions: Uint32Array,
  g: Pick<Attention, "rope">,
): Float64Array {
  const { H, nope, turned, kv, weights, norm, eps } = of;
  const rows = [...positions].map((_, t) => {
    const queries = weights.flatMap((w, h) => {
      const own = q.subarray((t * H + h) * (nope + turned), (t * H + h + 1) * (nope + turned));
      return [...own.subarray(nope), ...matmul(own.subarray(0, nope), w, nope)];
    });
    const own = c.subarray(t * (kv + turned), (t + 1) * (kv + turned));
    return [...queries, ...own.subarray(kv), ...rmsNorm(own.subarray(0, kv), norm, eps)];
  });
  // One head more than there are queries turns with them: the key. Nothing is a value.
  const all = Float64Array.from(rows.flat());
  return rope(all, positions, { heads: H + 1, kvHeads: 0, headDim: turned + kv, rope: g.rope });
}

/** A router's rule (RouteRule of kernels/route.ts), each field by default Mixtral's. */
export interface Rule {
  readonly score?: "softmax" | "sigmoid" | "sparsemixer";
  /** [E]: added to scores to choose by. */
  readonly bias?: Numbers | null;
  /** [E]: the gate's own, added to logits. */
  readonly logitsBias?: Numbers | null;
  readonly groups?: { readonly count: number; readonly kept: number; readonly by: "max" | "two" } | null;
  readonly normalize?: boolean;
  readonly added?: number;
  readonly least?: number;
  readonly factor?: number;
  readonly jitter?: number;
}

const softmaxOf = (values: readonly number[]): number[] => {
  const max = Math.max(...values);
  const exps = values.map((value) => Math.exp(value - max));
  const all = exps.reduce((a, b) => a + b, 0);
  return exps.map((exp) => exp / all);
};

/** Indexes, those of the largest values first; equal ones: the lowest first. */
const sorted = (values: readonly number[]): number[] =>
  values.map((_, i) => i).sort((a, b) => values[b]! - values[a]! || a - b);

/** The experts of rows x, and their weights, by one rule for all of them. */
export function route(
  x: Numbers,
  gate: Numbers,
  D: number,
  k: number,
  rule: Rule = {},
): { ids: number[]; weights: number[] } {
  const E = gate.length / D;
  const logits = matmul(x, gate, D, rule.logitsBias);
  const ids: number[] = [];
  const weights: number[] = [];
  for (let row = 0; row < logits.length; row += E) {
    const own = [...logits.subarray(row, row + E)];
    const [chosen, shares] = rule.score === "sparsemixer" ? mixedRoute(own, rule.jitter!) : scoredRoute(own, k, rule);
    ids.push(...chosen);
    weights.push(...shares);
  }
  return { ids, weights };
}

function scoredRoute(logits: number[], k: number, rule: Rule): [number[], number[]] {
  const { score = "softmax", bias = null, groups = null, normalize = true, added = 0, least = 0, factor = 1 } = rule;
  const scores = score === "softmax" ? softmaxOf(logits) : logits.map((logit) => 1 / (1 + Math.exp(-logit)));
  // Scores of equal order as the logits, but for rounding: logits, so that ties are the same.
  let by = bias ? scores.map((value, e) => value + bias[e]!) : groups?.by === "two" ? scores : logits;
  if (groups) {
    const size = logits.length / groups.count;
    const worth = Array.from({ length: groups.count }, (_, g) => {
      const [first, second] = by.slice(g * size, (g + 1) * size).sort((a, b) => b - a);
      return groups.by === "two" ? first! + (second ?? 0) : first!;
    });
    const kept = sorted(worth).slice(0, groups.kept);
    by = by.map((value, e) => (kept.includes(Math.floor(e / size)) ? value : Number.NEGATIVE_INFINITY));
  }
  const chosen = sorted(by).slice(0, k);
  const sum = chosen.reduce((sum, e) => sum + scores[e]!, 0);
  const total = normalize ? Math.max(sum + added, least) : 1;
  return [chosen, chosen.map((e) => (scores[e]! / total) * factor)];
}

/** As transformers' modeling_phimoe.py: one softmax a choice, over what the mask leaves. */
function mixedRoute(logits: number[], jitter: number): [number[], number[]] {
  const chosen = sorted(logits).slice(0, 2);
  const shares = chosen.map((own, i) => {
    const left = logits.map((logit, e) => (i === 1 && e === chosen[0] ? Number.NEGATIVE_INFINITY : logit));
    const max = Math.max(...left);
    const near = left.map((value, e) => {
      const factor = Math.max(Math.abs(logits[e]!), max);
      return (max - logits[e]!) / factor > 2 * jitter ? Number.NEGATIVE_INFINITY : value;
    });
    return softmaxOf(near)[own]!;
  });
  return [chosen, shares];
}

/** What experts do besides their matrices: up [E, 2F], of w1 and w3 in turn, and down [E, D]. */
export interface ExpertRule {
  readonly activation: Activation;
  readonly limit: number;
  readonly up: Numbers | null;
  readonly down: Numbers | null;
}

const SILU: ExpertRule = { activation: "silu", limit: 0, up: null, down: null };

/** As torch.nn.functional's silu, gelu and gelu(approximate="tanh"), and gpt-oss's model.py. */
const GATED: Readonly<Record<Activation, (g: number, u: number, limit: number) => number>> = {
  silu: (g, u) => (g / (1 + Math.exp(-g))) * u,
  gelu: (g, u) => 0.5 * g * (1 + erf(g / Math.SQRT2)) * u,
  gelu_tanh: (g, u) => 0.5 * g * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (g + 0.044715 * g * g * g))) * u,
  relu2: (g, u) => (g > 0 ? g * g : 0) * u,
  swiglu_oai(g, u, limit) {
    const gate = g > limit ? limit : g;
    const up = Math.abs(u) > limit ? Math.sign(u) * limit : u;
    return (up + 1) * gate * (1 / (1 + Math.exp(-1.702 * gate)));
  },
};

/** The error function by its Taylor series, which f64 sums to 1e-9 up to |x| = 4. */
function erf(x: number): number {
  if (Math.abs(x) > 4) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; n < 100; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

/**
 * Σₖ weightₖ · w2(silu(w1 x) * (w3 x)), or what the rule says: x [T, D], ids and weights [T, K]
 * -> [T, D].
 * @param known what experts give for rows of x: one who asks for the same rows again keeps it
 */
export function moe(
  x: Numbers,
  ids: ArrayLike<number>,
  weights: ArrayLike<number>,
  experts: readonly ExpertData[],
  D: number,
  known = new Map<string, Float64Array>(),
  rule: ExpertRule = SILU,
): Float64Array {
  const T = x.length / D;
  const k = ids.length / T;
  const y = new Float64Array(T * D);
  for (let slot = 0; slot < ids.length; slot++) {
    const t = Math.floor(slot / k);
    const key = `${t} ${ids[slot]}`;
    const down = known.get(key) ?? expertOf(x.subarray(t * D, (t + 1) * D), experts[ids[slot]!]!, D, rule, ids[slot]!);
    known.set(key, down);
    for (let d = 0; d < D; d++) y[t * D + d]! += weights[slot]! * down[d]!;
  }
  return y;
}

function expertOf(row: Numbers, { w1, w3, w2 }: ExpertData, D: number, rule: ExpertRule, e: number): Float64Array {
  const F = w1.length / D;
  const { activation, limit, up: b13, down: b2 } = rule;
  const gate = matmul(row, w1, D).map((value, f) => value + (b13 ? b13[2 * (e * F + f)]! : 0));
  const up = matmul(row, w3, D).map((value, f) => value + (b13 ? b13[2 * (e * F + f) + 1]! : 0));
  const hidden = gate.map((value, f) => GATED[activation](value, up[f]!, limit));
  return matmul(hidden, w2, F).map((value, d) => value + (b2 ? b2[e * D + d]! : 0));
}

/** w2(silu(w1 x) * (w3 x)), times sigmoid(gate . x) if there is a gate [D]: x [T, D] -> [T, D]. */
export function ffn(x: Numbers, weights: ExpertData, gate: Numbers | null, D: number): Float64Array {
  const y = new Float64Array(x.length);
  for (let at = 0; at < x.length; at += D) {
    const row = x.subarray(at, at + D);
    const share = gate ? 1 / (1 + Math.exp(-matmul(row, gate, D)[0]!)) : 1;
    y.set(
      expertOf(row, weights, D, SILU, 0).map((value) => share * value),
      at,
    );
  }
  return y;
}

/** NMSE of arithmetic in f32, in f16, and on activations quantized to int8. */
export const FLOAT_NMSE = 1e-9;
export const HALF_NMSE = 4e-6;
export const INT8_NMSE = 5e-4;

/**
 * Fails unless every row [width] of `got` is within `nmse` = Σ(got - want)² / Σ want²
 * of the reference.
 */
export function expectClose(got: Numbers, want: Numbers, width: number, nmse = FLOAT_NMSE): void {
  expect(got.length).toBe(want.length);
  for (let row = 0; row < want.length; row += width) {
    let error = 0;
    let norm = 0;
    for (let i = row; i < row + width; i++) {
      error += (got[i]! - want[i]!) ** 2;
      norm += want[i]! ** 2;
    }
    if (!(error <= nmse * norm))
      expect.fail(`row ${row / width} of ${want.length / width}: NMSE ${error / norm}, allowed ${nmse}`);
  }
}
