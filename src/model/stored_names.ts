// The names of a packed folder's tensors, the same for all families.

export const EMBED = "model.embed_tokens.blocks";
export const NORM = "model.norm";
export const HEAD = "lm_head.blocks";
export const HEAD_ORDER = "lm_head.order";
export const HEAD_BIAS = "lm_head.bias";
/** Those of layer i. */
export const layerNames = (i: number) => {
  const p = `model.layers.${i}.`;
  return {
    prefix: p,
    record: (e: number) => `${p}block_sparse_moe.experts.${e}.record`,
    // Rows of q, then k, then v: of all three, or of the neighbours that share a format.
    qkv: (first: number, end: number) => `${p}self_attn.${"qkv".slice(first, end)}_proj.blocks`,
    wo: `${p}self_attn.o_proj.blocks`,
    // What the layer's result is gated by, and the vectors of a recurrence.
    outGate: `${p}self_attn.gate_proj.blocks`,
    conv: `${p}recurrence.conv.weight`,
    deltaGates: `${p}recurrence.gates.weight`,
    delta: (name: "aLog" | "dtBias" | "norm") => `${p}recurrence.${name}`,
    // A dense layer or shared experts, as one expert; their gate, and the order of w1 and w3.
    ffn: `${p}ffn.record`,
    ffnGate: `${p}ffn.gate.weight`,
    ffnOrder: `${p}ffn.order`,
    ffnUpBias: `${p}ffn.up.bias`,
    ffnDownBias: `${p}ffn.down.bias`,
    gate: `${p}block_sparse_moe.gate.weight`,
    gateBias: `${p}block_sparse_moe.gate.bias`, // to choose by
    // What is added to products, where they have biases.
    qkvBias: (first: number, end: number) => `${p}self_attn.${"qkv".slice(first, end)}_proj.bias`,
    outGateBias: `${p}self_attn.gate_proj.bias`,
    woBias: `${p}self_attn.o_proj.bias`,
    logitsBias: `${p}block_sparse_moe.gate.logits.bias`,
    expertUpBias: `${p}block_sparse_moe.experts.up.bias`,
    expertDownBias: `${p}block_sparse_moe.experts.down.bias`,
    sinks: `${p}self_attn.sinks`,
    attnNorm: `${p}input_layernorm`,
    ffnNorm: `${p}post_attention_layernorm`,
    qNorm: `${p}self_attn.q_norm.weight`,
    kNorm: `${p}self_attn.k_norm.weight`,
    // In which order inputs come, as u32, where that is not their own: of qkv, of wo, of each
    // expert's w1 and w3.
    qkvOrder: `${p}self_attn.qkv_proj.order`,
    woOrder: `${p}self_attn.o_proj.order`,
    gateOrder: `${p}self_attn.gate_proj.order`,
    expertOrders: `${p}block_sparse_moe.experts.order`,
  };
};
