// What an architecture of GGUF files has: its names, and its fields of config.json.

import type { Keys } from "./keys.ts";

/** How the model hub names a layer's router and experts. */
export interface MoeNames {
  /** "mlp." or "block_sparse_moe.". */
  readonly prefix: string;
  readonly gate: string;
  readonly up: string;
  readonly down: string;
}

/** Which tensors a file has, as fields of config.json follow from that. */
export interface TensorsPresent {
  /** Whether q, k and v have biases; the head. */
  readonly biased: boolean;
  readonly headBiased: boolean;
  /** Whether q and k have norms. */
  readonly normed: boolean;
  /** Whether routers have a bias to choose by. */
  readonly chosenByBias: boolean;
}

/** What an architecture's own fields of config.json follow from, beside the keys. */
export interface ConfigFacts extends TensorsPresent {
  readonly experts: number;
  /** Values of a head, and those that turn. */
  readonly headDim: number;
  readonly turned: number;
}

/** One architecture, and the family of the model hub that its files were made from. */
export interface GgufArchitecture {
  /** The value of general.architecture, which its keys begin with. */
  readonly name: string;
  readonly moe: MoeNames;
  /**
   * Whether rows of q and k are in the order in which RoPE turns neighbours; they are put back so
   * that it turns halves.
   */
  readonly permuted: boolean;
  /**
   * The value of expert_gating_func that the family computes: 1 softmax, 2 sigmoid, 3 softmax of
   * the chosen; null: config() says.
   */
  readonly gating: 1 | 2 | 3 | null;
  /** Whether YaRN's ramp begins and ends between pairs; llama.cpp rounds it, the model does not. */
  readonly exactRamp?: true;
  /** Whether a part of a head may turn. */
  readonly partialRope?: true;
  /** Whether keys and values are made of latents, and have sizes of their own. */
  readonly latent?: true;
  /** Whether layers without heads of keys have none because they have a recurrence. */
  readonly mixed?: true;
  /** Tensors outside of layers that others name otherwise. */
  readonly outer?: Readonly<Record<string, string>>;
  /**
   * How a tensor's values are those of the checkpoint's, by its name there; undefined: they are.
   */
  readonly value?: (name: string) => ((x: number) => number) | undefined;
  /** Parts of a layer that others do not have, or name otherwise: `model.layers.N.` follows. */
  readonly parts?: Readonly<Record<string, string>>;
  /** Keys that only some architectures compute with. */
  readonly reads?: readonly string[];
  /** The fields of config.json that not all have. */
  config(keys: Keys, facts: ConfigFacts): object;
}

export const MLP: MoeNames = { prefix: "mlp.", gate: "gate_proj", up: "up_proj", down: "down_proj" };
export const SPARSE: MoeNames = { prefix: "block_sparse_moe.", gate: "w1", up: "w3", down: "w2" };

/** The matrices of a dense layer, or (`kind`: "_shexp") of shared experts. */
export function ffnParts(name: string, kind: "" | "_shexp" = ""): Readonly<Record<string, string>> {
  return {
    [`ffn_gate${kind}.weight`]: `${name}.gate_proj.weight`,
    [`ffn_up${kind}.weight`]: `${name}.up_proj.weight`,
    [`ffn_down${kind}.weight`]: `${name}.down_proj.weight`,
  };
}

/** expert_weights_norm, where a file says it. */
export function normalizes(keys: Keys, otherwise: boolean): boolean {
  return keys.metadata.flag(keys.name("expert_weights_norm"), otherwise);
}
