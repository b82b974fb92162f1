// The gated delta rule: per value head a state S [dk, dv] that forgets, corrects itself and
// answers.
//
//   S := exp(g) S;  S := S + k (beta (v - Sᵀ k))ᵀ;  o = Sᵀ q
//
// with q and k of unit length, q / sqrt(dk), g = -exp(aLog) softplus(a + dtBias), beta =
// sigmoid(b). Yang, Kautz, Hatamizadeh: Gated Delta Networks (arXiv 2412.06464), as in
// transformers' torch_recurrent_gated_delta_rule().

import { type DeltaShape, keyHeadOf } from "../src/tensor/delta_shape.ts";

/** Values of deltaFactors() for each row and value head: q's scale, k's, beta, exp(g). */
export const FACTORS = 4;

/** The epsilon of q's and k's lengths, inside the root. */
const EPS = 1e-6;

/**
 * What rows [from, to) multiply by.
 * @param qkv [T, 2 Hk dk + Hv dv]: q, k, v after the convolution
 * @param gates [T, 2 Hv]: b, then a, of each value head
 * @param aLog [Hv] @param dtBias [Hv]
 * @param into [T, Hv, FACTORS]
 */
export function deltaFactors(
  shape: DeltaShape,
  qkv: Float32Array,
  gates: Float32Array,
  aLog: Float32Array,
  dtBias: Float32Array,
  into: Float32Array,
  from: number,
  to: number,
): void {
  const { keyHeads, valueHeads, keyDim, valueDim, tiled } = shape;
  const keys = keyHeads * keyDim;
  const width = 2 * keys + valueHeads * valueDim;
  const back = (tiled ? keyHeads : 1) * FACTORS; // to the last head of the same key head
  for (let t = from; t < to; t++)
    for (let head = 0; head < valueHeads; head++) {
      const at = (t * valueHeads + head) * FACTORS;
      const q = t * width + keyHeadOf(shape, head) * keyDim;
      if (tiled ? head < keyHeads : head % (valueHeads / keyHeads) === 0) {
        into[at] = 1 / (length(qkv, q, keyDim) * Math.sqrt(keyDim));
        into[at + 1] = 1 / length(qkv, q + keys, keyDim);
      } else into.copyWithin(at, at - back, at - back + 2);
      const b = gates[t * 2 * valueHeads + head]!;
      const a = gates[(t * 2 + 1) * valueHeads + head]! + dtBias[head]!;
      into[at + 2] = 1 / (1 + Math.exp(-b));
      into[at + 3] = Math.exp(-Math.exp(aLog[head]!) * softplus(a));
    }
}

/**
 * All rows of one sequence, in order of position, through value head `head`.
 * @param qkv [T, 2 Hk dk + Hv dv], as deltaFactors() has it @param factors [T, Hv, FACTORS]
 * @param state [Hv, dk, dv], updated in place
 * @param into [T, Hv dv]
 */
export function deltaRule(
  shape: DeltaShape,
  qkv: Float32Array,
  factors: Float32Array,
  state: Float32Array,
  into: Float32Array,
  head: number,
): void {
  const { keyHeads, valueHeads, keyDim, valueDim } = shape;
  const [keys, values] = [keyHeads * keyDim, valueHeads * valueDim];
  const width = 2 * keys + values;
  const own = state.subarray(head * keyDim * valueDim, (head + 1) * keyDim * valueDim);
  const keyHead = keyHeadOf(shape, head);
  const delta = new Float64Array(valueDim);
  const answer = new Float64Array(valueDim);
  for (let t = 0; t < qkv.length / width; t++) {
    const row = qkv.subarray(t * width, (t + 1) * width);
    const q = row.subarray(keyHead * keyDim, (keyHead + 1) * keyDim);
    const k = row.subarray(keys + keyHead * keyDim, keys + (keyHead + 1) * keyDim);
    const v = row.subarray(2 * keys + head * valueDim, 2 * keys + (head + 1) * valueDim);
    const at = (t * valueHeads + head) * FACTORS;
    const [qScale, kScale, beta, decay] = factors.subarray(at, at + FACTORS) as unknown as Factors;
    delta.fill(0);
    for (let i = 0; i < keyDim; i++)
      for (let j = 0; j < valueDim; j++) {
        const kept = own[i * valueDim + j]! * decay;
        own[i * valueDim + j] = kept;
        delta[j]! += k[i]! * kScale * kept;
      }
    for (let j = 0; j < valueDim; j++) delta[j] = beta * (v[j]! - delta[j]!);
    answer.fill(0);
    for (let i = 0; i < keyDim; i++)
      for (let j = 0; j < valueDim; j++) {
        const next = own[i * valueDim + j]! + k[i]! * kScale * delta[j]!;
        own[i * valueDim + j] = next;
        answer[j]! += q[i]! * qScale * next;
      }
    into.set(answer, t * values + head * valueDim);
  }
}

type Factors = readonly [qScale: number, kScale: number, beta: number, decay: number];

/** Of `size` values from `at` on. */
function length(x: Float32Array, at: number, size: number): number {
  let sum = 0;
  for (let i = at; i < at + size; i++) sum += x[i]! * x[i]!;
  return Math.sqrt(sum + EPS);
}

/** ln(1 + exp(x)); x itself where they are equal in f32, as in torch. */
function softplus(x: number): number {
  return x > 20 ? x : Math.log1p(Math.exp(x));
}
