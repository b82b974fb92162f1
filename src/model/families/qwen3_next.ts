// Qwen3-Next, and the text of Qwen3.5 and Qwen3.6: three of four layers have a convolution and the
// gated delta rule in place of attention; attention's result is gated too; shared experts with a
// gate.
//
// Semantics and defaults are those of transformers' modeling_qwen3_next.py and
// modeling_qwen3_5_moe.py. All norms but that of the delta rule multiply by 1 + w. The part of a
// folder that sees (model.visual), and layers that predict several tokens at once (mtp), are not
// read. With text alone, mrope_section changes nothing.

import { SOFTMAX } from "../../tensor/route_rule.ts";
import type { MatrixSource } from "../../tensor/types.ts";
import { takeProduct } from "../bias.ts";
import { closingFields, commonFields, expertFields, type Fields, headFields } from "../config.ts";
import type { Architecture, Family, LayerArchitecture, LayerSources, Take } from "../family.ts";
import { layerKinds, withDense } from "../layer_kinds.ts";
import type { Recurrence } from "../recurrence_shape.ts";
import { readRope, turnedPart } from "../rope.ts";
import { attentionSources, concatRows, type MixerSources, mlpSources } from "../sources.ts";
import { mapped, rowsOfGroups, transposed } from "../views.ts";

type Delta = Extract<Recurrence, { kind: "delta" }>;

/** Fields that only Qwen3-Next has, as they are where all layers have experts. */
const ALL_SPARSE = [
  ["mlp_only_layers", [[], null]],
  ["decoder_sparse_step", [1]],
] as const;

export const qwen3Next: Family = {
  types: ["qwen3_next", "qwen3_5_moe", "qwen3_5_moe_text"],

  architecture(c) {
    c.only("attn_output_gate", [true]);
    const isNext = c.raw("model_type") === "qwen3_next";
    const { depth, ...common } = commonFields(c, { activation: "silu" });
    const intermediate = c.size("moe_intermediate_size", { otherwise: 512 });
    const shared = c.size("shared_expert_intermediate_size", { otherwise: 512 });
    const shape = headFields(c, common.hidden, 256);
    const experts = expertFields(c, "num_experts", "num_local_experts");
    // Qwen3.5 has no such switch.
    const normalize = isNext ? c.flag("norm_topk_prob", true) : true;
    // Of attention; the delta rule's products have none.
    const biases = c.flag("attention_bias", false) ? (["qkv", "o"] as const) : [];
    const eps = c.positive("rms_norm_eps", 1e-6);
    const rope = readRope(c, turnedPart(c, shape.headDim, 0.25), 1e4);
    const delta = deltaFields(c);
    const own = {
      experts: { ...experts, intermediate, rule: { ...SOFTMAX, normalize }, biased: false },
      dense: null,
      shared: { intermediate: shared, gated: true },
      gated: true,
    } as const;
    const full: LayerArchitecture = {
      attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window: null, rope },
      qkNorm: "head",
      ...own,
    };
    const linear: LayerArchitecture = { attention: null, recurrence: delta, qkNorm: null, ...own };
    const interval = c.count("full_attention_interval", { otherwise: 4 });
    const kinds = layerKinds(c, depth, {
      known: ["full_attention", "linear_attention"],
      needed: "full_attention",
      usual: (i) => ((i + 1) % interval === 0 ? "full_attention" : "linear_attention"),
    });
    const mixers = kinds.map((kind) => (kind === "full_attention" ? full : linear));
    // Those of Qwen3.5 are all sparse.
    if (!isNext) for (const [field, all] of ALL_SPARSE) c.only(field, all);
    const layers = isNext ? withDense(c, mixers) : mixers;
    return { ...common, ...closingFields(c), eps, biases, layers };
  },

  sources(a, take) {
    take.skip(/^(mtp|model\.visual)\./);
    const sources = mlpSources(a, take, undefined, (p, layer) =>
      layer.attention ? gatedAttention(a, take, p, layer) : deltaSources(a.hidden, take, p, layer.recurrence),
    );
    const normed = ({ attnNorm, ffnNorm, qkNorm, ...layer }: LayerSources): LayerSources => ({
      ...layer,
      attnNorm: plusOne(attnNorm),
      ffnNorm: plusOne(ffnNorm),
      qkNorm: qkNorm && { q: plusOne(qkNorm.q), k: plusOne(qkNorm.k) },
    });
    return { ...sources, norm: plusOne(sources.norm), layers: sources.layers.map(normed) };
  },
};

/** The weights of a norm that multiplies by 1 + w. */
const plusOne = (norm: MatrixSource) => mapped(norm, (w) => w + 1);

function deltaFields(c: Fields): Delta {
  const keyHeads = c.count("linear_num_key_heads", { otherwise: 16 });
  const valueHeads = c.count("linear_num_value_heads", { otherwise: 32 });
  if (valueHeads % keyHeads !== 0) c.fail("linear_num_value_heads", `a multiple of linear_num_key_heads (${keyHeads})`);
  const keyDim = c.size("linear_key_head_dim", { otherwise: 128 });
  const valueDim = c.size("linear_value_head_dim", { otherwise: 128 });
  const taps = c.size("linear_conv_kernel_dim", { otherwise: 4, most: 64 });
  // A GGUF file of Qwen3.5 has its value heads in another order.
  c.only("linear_value_head_order", ["grouped", "tiled"]);
  const tiled = c.raw("linear_value_head_order") === "tiled";
  return { kind: "delta", taps, shape: { keyHeads, valueHeads, keyDim, valueDim, tiled } };
}

/** q_proj has the rows of a head's q, then those of its gate. */
function gatedAttention(a: Architecture, take: Take, p: string, layer: LayerArchitecture): MixerSources {
  const { heads, headDim } = layer.attention!;
  const both = takeProduct(a, take, "qkv", `${p}self_attn.q_proj`, 2 * heads * headDim, a.hidden);
  const half = (side: 0 | 1) => rowsOfGroups(both, 2 * headDim, side * headDim, headDim);
  return { ...attentionSources(a, take, p, layer, half(0)), outGate: half(1) };
}

function deltaSources(D: number, take: Take, p: string, recurrence: LayerArchitecture["recurrence"]): MixerSources {
  const { taps, shape } = recurrence as Delta;
  const { keyHeads, valueHeads, keyDim, valueDim } = shape;
  const [keys, values] = [keyHeads * keyDim, valueHeads * valueDim];
  const of = `${p}linear_attn.`;
  const { qkv, z } = take.has(`${of}in_proj_qkvz.weight`)
    ? byKeyHead(D, take, of, shape)
    : {
        qkv: take.matrix(`${of}in_proj_qkv.weight`, 2 * keys + values, D),
        z: take.matrix(`${of}in_proj_z.weight`, values, D),
      };
  return {
    qkv: [qkv],
    qkNorm: null,
    outGate: z,
    wo: take.matrix(`${of}out_proj.weight`, D, values),
    recurrence: {
      conv: transposed(take.matrix(`${of}conv1d.weight`, 2 * keys + values, 1, taps)),
      delta: {
        gates: concatRows(`${of}in_proj_ba`, gatesOf(D, take, of, shape)),
        aLog: take.matrix(`${of}A_log`, valueHeads),
        dtBias: take.matrix(`${of}dt_bias`, valueHeads),
        norm: take.matrix(`${of}norm.weight`, valueDim),
      },
    },
  };
}

/** The rows of b, and of a; Qwen3-Next has both by key head in one matrix. */
function gatesOf(D: number, take: Take, of: string, { keyHeads, valueHeads }: Delta["shape"]): MatrixSource[] {
  if (!take.has(`${of}in_proj_ba.weight`))
    return ["b", "a"].map((name) => take.matrix(`${of}in_proj_${name}.weight`, valueHeads, D));
  const both = take.matrix(`${of}in_proj_ba.weight`, 2 * valueHeads, D);
  const each = valueHeads / keyHeads;
  return [0, each].map((first) => rowsOfGroups(both, 2 * each, first, each));
}

/** Qwen3-Next's other matrix: of each key head its q, k, v and z, one after the other. */
function byKeyHead(D: number, take: Take, of: string, { keyHeads, valueHeads, keyDim, valueDim }: Delta["shape"]) {
  const values = (valueHeads / keyHeads) * valueDim;
  const group = 2 * (keyDim + values);
  const whole = take.matrix(`${of}in_proj_qkvz.weight`, keyHeads * group, D);
  const part = (first: number, count: number): MatrixSource => rowsOfGroups(whole, group, first, count);
  const parts = [part(0, keyDim), part(keyDim, keyDim), part(2 * keyDim, values)];
  return { qkv: concatRows(whole.name, parts), z: part(2 * keyDim + values, values) };
}
