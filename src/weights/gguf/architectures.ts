// The architectures of GGUF files that are read, under llama.cpp's names. A new one is an entry.

import type { Keys } from "./keys.ts";

/** How the model hub names a layer's router and experts. */
export interface MoeNames {
  /** "mlp." or "block_sparse_moe.". */
  readonly prefix: string;
  readonly gate: string;
  readonly up: string;
  readonly down: string;
}

/** What fields of config.json follow from beside the keys. */
export interface ConfigFacts {
  readonly experts: number;
  /** Values of a head that turn. */
  readonly turned: number;
  /** Whether q, k and v have biases. */
  readonly biased: boolean;
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
  /** The value of expert_gating_func that the family computes: 1 softmax, 2 sigmoid. */
  readonly gating: 1 | 2;
  /** Whether a part of a head may turn. */
  readonly partialRope?: true;
  /** The fields of config.json that not all have. */
  config(keys: Keys, facts: ConfigFacts): object;
}

const MLP: MoeNames = { prefix: "mlp.", gate: "gate_proj", up: "up_proj", down: "down_proj" };
const SPARSE: MoeNames = { prefix: "block_sparse_moe.", gate: "w1", up: "w3", down: "w2" };

/** expert_weights_norm, where a file says it. */
function normalizes(keys: Keys, otherwise: boolean): boolean {
  return keys.metadata.flag(keys.name("expert_weights_norm"), otherwise);
}

export const ARCHITECTURES: readonly GgufArchitecture[] = [
  {
    name: "llama",
    moe: SPARSE,
    permuted: true,
    gating: 1,
    config(keys, { experts }) {
      keys.only("expert_weights_norm", [true]);
      const window = keys.count("attention.sliding_window");
      return {
        model_type: "mixtral",
        intermediate_size: keys.size("feed_forward_length"),
        num_local_experts: experts,
        sliding_window: window === 0 ? null : window,
      };
    },
  },
  {
    name: "qwen3moe",
    moe: MLP,
    permuted: false,
    gating: 1,
    config(keys, { experts, biased }) {
      keys.only("attention.sliding_window", [0]);
      return {
        model_type: "qwen3_moe",
        attention_bias: biased,
        moe_intermediate_size: keys.size("expert_feed_forward_length"),
        num_experts: experts,
        norm_topk_prob: normalizes(keys, true),
      };
    },
  },
  {
    name: "olmoe",
    moe: MLP,
    permuted: false,
    gating: 1,
    config(keys, { experts }) {
      keys.only("attention.sliding_window", [0]);
      return {
        model_type: "olmoe",
        intermediate_size: keys.size("feed_forward_length"),
        num_experts: experts,
        norm_topk_prob: normalizes(keys, false),
      };
    },
  },
  {
    name: "minimax-m2",
    moe: SPARSE,
    permuted: false,
    gating: 2,
    partialRope: true,
    config(keys, { experts, turned }) {
      keys.only("attention.sliding_window", [0]);
      keys.only("expert_weights_norm", [true]);
      return {
        model_type: "minimax_m2",
        intermediate_size: keys.size("expert_feed_forward_length"),
        num_local_experts: experts,
        rotary_dim: turned,
      };
    },
  },
];
