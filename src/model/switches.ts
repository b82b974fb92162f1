// Switches of config.json that some families have: refused in others, which would ignore them.

import type { Fields } from "./config.ts";
import type { Architecture } from "./family.ts";

/** What a switch that the family did not read may say, beside null. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  attention_bias: [false],
  attention_multiplier: [],
  attn_logit_softcapping: [],
  attn_output_gate: [false],
  clip_qkv: [],
  decoder_sparse_step: [1],
  embedding_multiplier: [1],
  final_logit_softcapping: [],
  logits_scaling: [1],
  mlp_bias: [false],
  mlp_only_layers: [[]],
  norm_topk_prob: [true],
  qkv_bias: [false],
  residual_multiplier: [1],
  rope_interleave: [false],
  routed_scaling_factor: [1],
  scoring_func: ["softmax"],
  swiglu_limit: [],
  topk_method: ["greedy"],
  use_bias: [false],
};

/**
 * Call it when the family has read its fields.
 * @throws WeightsError for a switch that was not read and asks for something
 */
export function refuseUnread(c: Fields, { config, layers }: Architecture): void {
  const why = `(a ${config.model_type} has no such switch)`;
  const refuse = (field: string, allowed: readonly unknown[]) => {
    if (c.wasRead(field)) return;
    const said = allowed.map((value) => JSON.stringify(value)).join(" or ");
    c.only(field, [null, ...allowed], `${said || "nothing"} ${why}`);
  };
  // With a topk_method these count or do not, as it says.
  if (!c.wasRead("topk_method")) for (const field of ["n_group", "topk_group"]) refuse(field, [1]);
  for (const [field, allowed] of Object.entries(NEUTRAL)) refuse(field, allowed);
  const kinds = layers.map(({ attention }) => (attention?.window ? "sliding_attention" : "full_attention"));
  refuse("layer_types", [kinds]);
  if (c.wasRead("sliding_window") || c.wasRead("use_sliding_window")) return;
  refuse("use_sliding_window", [false]);
  if (c.raw("use_sliding_window") !== false) refuse("sliding_window", []);
}
