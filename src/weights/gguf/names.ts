// The tensors of GGUF files under the names of the model hub, as ranges of rows.

import { WeightsError } from "../../errors.ts";
import type { GgufArchitecture } from "./architecture.ts";
import type { GgufTensor } from "./container.ts";
import { MAX_EXPERTS } from "./limits.ts";

/** A tensor of the model hub's checkpoint: rows of one tensor of a file. */
export interface HubTensor {
  readonly file: string;
  readonly tensor: GgufTensor;
  readonly shape: readonly number[];
  /** Its first row in the tensor of the file. */
  readonly firstRow: number;
  /** Rows of a head whose rows are to be put back; 0: they lie as in the checkpoint. */
  readonly headRows: number;
  /** What the checkpoint has for the file's values; absent: those. */
  readonly value?: ((x: number) => number) | undefined;
}

/** Sizes of config.json that places depend on. */
export interface Sizes {
  readonly num_hidden_layers: number;
  /** Layers after those, which are not read; absent: none. */
  readonly num_nextn_predict_layers?: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
}

/** Tensors of the whole model. */
const OUTER: Readonly<Record<string, string>> = {
  token_embd: "model.embed_tokens",
  output_norm: "model.norm",
  output: "lm_head",
};

/** Tensors of a layer, except its experts. */
const LAYER: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  ffn_norm: "post_attention_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
};

/** Divisors of RoPE's frequencies, which config.json has: llama3's, and longrope's. */
export const ROPE_FACTORS = {
  all: "rope_freqs.weight",
  short: "rope_factors_short.weight",
  long: "rope_factors_long.weight",
} as const;

/**
 * By their names in the checkpoint. A tensor of another name keeps it, so that it is refused as one
 * that config.json does not ask for.
 * @throws WeightsError if two tensors are the same part of the model, or one cannot be cut
 */
export function hubTensors(
  label: string,
  architecture: GgufArchitecture,
  sizes: Sizes,
  files: readonly { readonly file: string; readonly tensors: ReadonlyMap<string, GgufTensor> }[],
): Map<string, HubTensor> {
  const found = new Map<string, HubTensor>();
  for (const { file, tensors } of files)
    for (const tensor of tensors.values()) {
      if (Object.values(ROPE_FACTORS).some((name) => name === tensor.name) || isUnread(tensor.name, sizes)) continue;
      const add: Add = (name, { shape = tensor.shape, firstRow = 0, headRows = 0 } = {}) => {
        const other = found.get(name);
        if (other !== undefined)
          throw new WeightsError(
            `${label}: tensors ${other.tensor.name} and ${tensor.name} are the same part of the model`,
          );
        found.set(name, { file, tensor, shape, firstRow, headRows, value: architecture.value?.(name) });
      };
      if (!placeTensor(architecture, sizes, tensor, add)) add(tensor.name);
    }
  return found;
}

/** Whether a tensor is of a layer that predicts several tokens at once. */
function isUnread(name: string, { num_hidden_layers: depth, num_nextn_predict_layers: unread = 0 }: Sizes): boolean {
  const layer = Number(/^blk\.(\d{1,4})\./.exec(name)?.[1] ?? -1);
  return layer >= depth && layer < depth + unread;
}

type Add = (name: string, range?: Partial<Pick<HubTensor, "shape" | "firstRow" | "headRows">>) => void;

/** Adds a tensor under its names; false if it has none. */
function placeTensor(
  { moe, permuted, parts, outer: others }: GgufArchitecture,
  sizes: Sizes,
  tensor: GgufTensor,
  add: Add,
): boolean {
  const outer = /^(\w+)\.(weight|bias)$/.exec(tensor.name);
  const known = outer && (others?.[outer[1]!] ?? OUTER[outer[1]!]);
  if (known) {
    add(`${known}.${outer[2]}`);
    return true;
  }
  const [, layer, part, kind] = /^blk\.(\d{1,4})\.(.+?)(?:\.(weight|bias))?$/.exec(tensor.name) ?? [];
  if (layer === undefined || part === undefined || Number(layer) >= sizes.num_hidden_layers) return false;
  const p = `model.layers.${Number(layer)}.`;
  const { num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim: headDim } = sizes;
  const headRows = permuted ? headDim : 0;
  const own = parts?.[kind === undefined ? part : `${part}.${kind}`];
  if (own !== undefined) {
    // The taps of a convolution have a dimension of 1 there.
    const [channels, taps] = tensor.shape;
    add(p + own, /\bconv(1d)?\.weight$/.test(own) ? { shape: [channels!, 1, taps!] } : {});
    return true;
  }
  if (kind === undefined) return false;
  if (Object.hasOwn(LAYER, part)) {
    const turns = (part === "attn_q" || part === "attn_k") && rowsOf(tensor) % headDim === 0;
    add(`${p}${LAYER[part]}.${kind}`, turns ? { headRows } : {});
    return true;
  }
  if (part === "attn_qkv") {
    const [q, kv] = [heads * headDim, kvHeads * headDim];
    if (rowsOf(tensor) !== q + 2 * kv) return false;
    const rest = kind === "weight" ? tensor.shape.slice(1) : [];
    add(`${p}self_attn.q_proj.${kind}`, { shape: [q, ...rest], headRows });
    add(`${p}self_attn.k_proj.${kind}`, { shape: [kv, ...rest], firstRow: q, headRows });
    add(`${p}self_attn.v_proj.${kind}`, { shape: [kv, ...rest], firstRow: q + kv });
    return true;
  }
  if (part === "ffn_gate_inp") {
    add(`${p}${moe.prefix}gate.${kind}`);
    return true;
  }
  return kind === "weight" && placeExperts(`${p}${moe.prefix}experts.`, part, moe, tensor, add);
}

/** Experts, merged into one tensor or each by itself. */
function placeExperts(
  prefix: string,
  part: string,
  moe: GgufArchitecture["moe"],
  { shape }: GgufTensor,
  add: Add,
): boolean {
  const single = /^ffn_(gate|up|down)\.(\d{1,4})$/.exec(part);
  if (single) {
    add(`${prefix}${Number(single[2])}.${moe[single[1] as "gate" | "up" | "down"]}.weight`);
    return true;
  }
  const merged = /^ffn_(gate|up|down|gate_up)_exps$/.exec(part)?.[1];
  const [count, rows, cols] = shape;
  if (merged === undefined || shape.length !== 3 || count! > MAX_EXPERTS) return false;
  const matrices = merged === "gate_up" ? (["gate", "up"] as const) : [merged as "gate" | "up" | "down"];
  if (rows! % matrices.length !== 0) return false;
  const own = rows! / matrices.length;
  for (let e = 0; e < count!; e++)
    for (const [i, matrix] of matrices.entries())
      add(`${prefix}${e}.${moe[matrix]}.weight`, { shape: [own, cols!], firstRow: e * rows! + i * own });
  return true;
}

/** Rows of a matrix, or elements of a vector. */
function rowsOf({ shape }: GgufTensor): number {
  return shape[0] ?? 1;
}
