// What a synthetic model is: its config.json, and what is stored otherwise than as it is.

import type { Format } from "../tensor/format.ts";

/** A config.json of transformers v4. */
export type SyntheticConfig = Readonly<Record<string, unknown>>;

/** A model that a URL can name. */
export interface SyntheticModel {
  readonly config: SyntheticConfig;
  /** Matrices that lie in a format, as src/weights/quantized shows those of files. */
  readonly stored?: { readonly names: RegExp; readonly format: Format };
  /** Norms whose weight w is stored as w - 1. */
  readonly shifted?: RegExp;
}

/** Fields of all of them. */
export const COMMON = { hidden_act: "silu", tie_word_embeddings: false, torch_dtype: "bfloat16" };
