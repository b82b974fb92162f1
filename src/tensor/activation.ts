// Activations of experts.

/** What a gate goes through before w3 x multiplies it: kernels/activate.ts has the formulas. */
export type Activation = "silu" | "gelu" | "gelu_tanh" | "relu2" | "swiglu_oai";

/** What an expert does with its products, besides weighing them. */
export interface Gating {
  readonly activation: Activation;
  /** Where swiglu_oai cuts its inputs; not read by others. */
  readonly limit: number;
  /** [2F], a gate's and an up's in turn; null: none. */
  readonly bias: Float32Array | null;
}

export const SILU: Gating = { activation: "silu", limit: Number.POSITIVE_INFINITY, bias: null };
