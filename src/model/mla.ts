// Multi-head latent attention (MLA): its sizes from config.json, and its tensors in the absorbed
// form.
//
// A head's key is W_kb c | kr and its value W_vb c, of a latent c and a rotated part kr that all
// heads share. So its score q_nope . (W_kb c) is (W_kbᵀ q_nope) . c, and its result W_vb (Σ p c):
// the cache holds c and kr, as one key of kr | c whose value is c (DeepSeek-V2, arXiv 2405.04434,
// section 2.1).

import type { MatrixSource } from "../tensor/types.ts";
import { takeProduct } from "./bias.ts";
import type { Fields } from "./config.ts";
import type { Architecture, LatentArchitecture, LatentSources, LayerArchitecture, Take } from "./family.ts";
import { readRope, ropeBlock } from "./rope.ts";
import { halfSplitRows } from "./row_order.ts";
import { transposed } from "./views.ts";

/**
 * Sizes of attention, by default those of DeepSeek's code.
 * @param interleaved whether RoPE turns neighbours; otherwise halves
 */
export function latentFields(
  c: Fields,
  interleaved: boolean,
): Pick<LayerArchitecture, "attention" | "latent" | "qkNorm"> {
  const heads = c.count("num_attention_heads");
  const kvHeads = c.count("num_key_value_heads", { otherwise: heads });
  if (kvHeads !== heads)
    c.fail("num_key_value_heads", `num_attention_heads (${heads}): heads share a latent, not keys`);
  const latent = c.size("kv_lora_rank", { otherwise: 512 });
  const rank = c.raw("q_lora_rank") === null ? c.keep("q_lora_rank", null) : c.size("q_lora_rank", { otherwise: 1536 });
  const nope = c.size("qk_nope_head_dim", { otherwise: 128 });
  const turned = c.size("qk_rope_head_dim", { otherwise: 64 });
  const value = c.size("v_head_dim", { otherwise: 128 });
  if (turned % 2 !== 0) c.fail("qk_rope_head_dim", "an even number (RoPE rotates pairs)");
  c.only("qk_head_dim", [nope + turned]);
  c.keep("head_dim", turned);
  const rope = readRope(c, turned, 1e4);
  const scale = yarnGrowth(c) ** 2 / Math.sqrt(nope + turned);
  return {
    attention: { heads, kvHeads: 1, headDim: turned + latent, latent, scale, window: null, rope },
    latent: { rank, nope, value, interleaved },
    qkNorm: null,
  };
}

/**
 * What YaRN multiplies q and k with: 0.1 mscale_all_dim ln(factor) + 1. 1 without scaling, or
 * without that field.
 */
function yarnGrowth(c: Fields): number {
  const { kind, block } = ropeBlock(c);
  const { factor, mscale_all_dim: all } = block;
  const grows = kind !== "default" && typeof all === "number" && typeof factor === "number" && factor > 1;
  return grows ? 0.1 * all * Math.log(factor) + 1 : 1;
}

/**
 * The tensors of self_attn but o_proj. Biases of q, k and v are those of what the hidden state is
 * multiplied with first: q_a_proj, not q_proj, and kv_a_proj.
 * @param p the layer's prefix, such as "model.layers.3."
 */
export function takeLatent(
  a: Pick<Architecture, "hidden" | "biases">,
  take: Take,
  p: string,
  {
    attention,
    latent,
  }: { readonly attention: NonNullable<LayerArchitecture["attention"]>; readonly latent: LatentArchitecture },
): LatentSources {
  const { heads: H, headDim, latent: kv = 0 } = attention;
  const { rank, nope, value, interleaved } = latent;
  const { hidden: D } = a;
  const turned = headDim - kv;
  const own = (name: string, ...shape: number[]) => take.matrix(`${p}self_attn.${name}.weight`, ...shape);
  const first = (name: string, rows: number) => takeProduct(a, take, "qkv", `${p}self_attn.${name}`, rows, D);
  const turnedLast = (matrix: MatrixSource, size: number) =>
    interleaved ? halfSplitRows(matrix, size, size - turned, turned) : matrix;
  const queries = (name: string, cols: number) => turnedLast(own(name, H * (nope + turned), cols), nope + turned);
  return {
    ...(rank === null
      ? { q: queries("q_proj", D), low: null }
      : { q: first("q_a_proj", rank), low: { norm: own("q_a_layernorm", rank), b: queries("q_b_proj", rank) } }),
    kv: turnedLast(first("kv_a_proj_with_mqa", headDim), headDim),
    norm: own("kv_a_layernorm", kv),
    ...headSources(take, p, { H, nope, value, kv }),
  };
}

/** kv_b_proj head by head: rows [0, dn) of each make keys, the next dv values. */
function headSources(
  take: Take,
  p: string,
  { H, nope, value, kv }: Readonly<Record<"H" | "nope" | "value" | "kv", number>>,
): Pick<LatentSources, "absorb" | "expand"> {
  const each = (of: (h: number) => MatrixSource) => Array.from({ length: H }, (_, h) => of(h));
  const [both, keys, values] = ["kv_b", "k_b", "v_b"].map((name) => `${p}self_attn.${name}_proj.weight`) as [
    string,
    string,
    string,
  ];
  if (take.has(keys)) {
    // As newer GGUF files have them: split, and keys transposed.
    take.matrix(keys, H, kv, nope);
    take.matrix(values, H, value, kv);
    if (take.has(both)) take.matrix(both, H * (nope + value), kv); // some files have all three
    return {
      absorb: each((h) => take.rows(keys, h * kv, kv)),
      expand: each((h) => take.rows(values, h * value, value)),
    };
  }
  take.matrix(both, H * (nope + value), kv);
  return {
    absorb: each((h) => transposed(take.rows(both, h * (nope + value), nope))),
    expand: each((h) => take.rows(both, h * (nope + value) + nope, value)),
  };
}
