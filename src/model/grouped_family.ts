// The architecture of families whose first layers are dense, and whose others have routed experts
// and, beside them, shared ones.

import { closingFields, commonFields, expertFields, type Fields } from "./config.ts";
import type { Architecture, Biased, LayerArchitecture, Routing } from "./family.ts";
import { layerKinds } from "./layer_kinds.ts";

/** In what they differ. */
interface Differences {
  /** Defaults of first_k_dense_replace, n_shared_experts and rms_norm_eps. */
  readonly dense: number;
  readonly shared: number;
  readonly eps: number;
  /** Whether experts are chosen by scores + bias. */
  readonly biased: boolean;
  /** What attention_bias is about. */
  readonly biases: readonly Biased[];
  /** Whether mlp_bias says that dense layers and shared experts have biases; absent: no field. */
  readonly mlpBias?: true;
  attention(hidden: number): Pick<LayerArchitecture, "attention" | "latent" | "qkNorm">;
  rule(experts: number): Routing["rule"];
}

export function groupedArchitecture(c: Fields, own: Differences): Architecture {
  c.only("moe_layer_freq", [1], "1 (each layer after the dense ones has experts)");
  const { depth, ...common } = commonFields(c);
  const intermediate = c.size("moe_intermediate_size");
  const attention = own.attention(common.hidden);
  const experts = expertFields(c, "n_routed_experts", "num_local_experts");
  const shared = c.raw("n_shared_experts") === null ? 0 : c.indexTo("n_shared_experts", 4096, own.shared);
  const eps = c.positive("rms_norm_eps", own.eps);
  const types = layerTypes(c, depth, own.dense);
  const rule = own.rule(experts.count);
  const sparse: LayerArchitecture = {
    ...attention,
    experts: { ...experts, intermediate, rule, biased: own.biased },
    dense: null,
    shared: shared > 0 ? { intermediate: shared * intermediate, gated: false } : null,
  };
  const wide = types.includes("dense") ? { intermediate: c.size("intermediate_size") } : null;
  const dense: LayerArchitecture = { ...sparse, experts: null, dense: wide, shared: null };
  const layers = types.map((type) => (type === "dense" ? dense : sparse));
  const biases = c.flag("attention_bias", false) ? [...own.biases] : [];
  if (own.mlpBias && c.flag("mlp_bias", false)) biases.push("ffn");
  return { ...common, ...closingFields(c), eps, biases, layers };
}

/** mlp_layer_types, or first_k_dense_replace dense layers before the others. */
function layerTypes(c: Fields, depth: number, otherwise: number) {
  const first = c.indexTo("first_k_dense_replace", depth, Math.min(otherwise, depth));
  const field = "mlp_layer_types";
  if (first === depth && !c.has(field)) c.fail("first_k_dense_replace", `less than num_hidden_layers (${depth})`);
  return layerKinds(c, depth, {
    field,
    known: ["sparse", "dense"],
    needed: "sparse",
    usual: (i) => (i < first ? "dense" : "sparse"),
  });
}
