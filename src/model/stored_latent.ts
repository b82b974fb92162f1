// The tensors of multi-head latent attention (src/model/mla.ts) in packed folders.

import type { Format } from "../tensor/format.ts";
import type { MatrixSource } from "../tensor/types.ts";
import { biased } from "./bias.ts";
import type { Architecture, LatentArchitecture, LatentSources, LayerArchitecture } from "./family.ts";
import { type FormatPlan, headsFormat } from "./formats.ts";
import type { StoredLayer } from "./stored_formats.ts";

/** @param p the layer's prefix */
const namesOf = (p: string) => ({
  q: `${p}self_attn.q_proj.blocks`,
  qBias: `${p}self_attn.q_proj.bias`,
  qb: `${p}self_attn.q_b_proj.blocks`,
  lowNorm: `${p}self_attn.q_a_norm.weight`,
  kv: `${p}self_attn.kv_proj.blocks`,
  kvBias: `${p}self_attn.kv_proj.bias`,
  norm: `${p}self_attn.kv_norm.weight`,
  absorb: (h: number) => `${p}self_attn.absorb.${h}.blocks`,
  expand: (h: number) => `${p}self_attn.expand.${h}.blocks`,
});

/** The formats of a layer's own matrices but o. */
export function latentFormats({ q, low, kv, absorb, expand }: LatentSources, plan: FormatPlan, layer: number) {
  return {
    q: plan(q, "q", layer),
    k: plan(kv, "k", layer),
    v: headsFormat(expand, "v", plan, layer),
    ...(low && { qb: plan(low.b, "qb", layer) }),
    absorb: headsFormat(absorb, "absorb", plan, layer),
  };
}

/** Tensors to write, by what makes one of a packed matrix and of a vector. */
export function storedLatent<Tensor>(
  p: string,
  { q, low, kv, norm, absorb, expand }: LatentSources,
  formats: StoredLayer,
  packed: (name: string, source: MatrixSource, format: Format) => Tensor,
  vector: (name: string, source: MatrixSource) => Tensor,
): Tensor[] {
  const names = namesOf(p);
  const bias = (name: string, { bias }: MatrixSource) => (bias ? [vector(name, bias)] : []);
  return [
    packed(names.q, q, formats.q),
    ...bias(names.qBias, q),
    ...(low ? [vector(names.lowNorm, low.norm), packed(names.qb, low.b, formats.qb!)] : []),
    packed(names.kv, kv, formats.k),
    ...bias(names.kvBias, kv),
    vector(names.norm, norm),
    ...absorb.map((source, h) => packed(names.absorb(h), source, formats.absorb!)),
    ...expand.map((source, h) => packed(names.expand(h), source, formats.v)),
  ];
}

/** The sources of these tensors. @throws WeightsError */
export function latentFromStored(
  p: string,
  { hidden: D, biases }: Pick<Architecture, "hidden" | "biases">,
  {
    attention,
    latent,
  }: { readonly attention: NonNullable<LayerArchitecture["attention"]>; readonly latent: LatentArchitecture },
  formats: Readonly<Record<"q" | "k" | "v" | "absorb", Format>> & { readonly qb?: Format },
  packed: (name: string, rows: number, cols: number, format: Format) => MatrixSource,
  vector: (name: string, size: number) => MatrixSource,
): LatentSources {
  const names = namesOf(p);
  const { heads: H, headDim, latent: kv = 0 } = attention;
  const { rank, nope, value } = latent;
  const width = H * (nope + headDim - kv);
  const each = (of: (h: number) => MatrixSource) => Array.from({ length: H }, (_, h) => of(h));
  const added = (matrix: MatrixSource, name: string) =>
    biases?.includes("qkv") ? biased(matrix, vector(name, matrix.rows)) : matrix;
  const q = packed(names.q, rank ?? width, D, formats.q);
  return {
    q: rank === null ? q : added(q, names.qBias),
    low: rank === null ? null : { norm: vector(names.lowNorm, rank), b: packed(names.qb, width, rank, formats.qb!) },
    kv: added(packed(names.kv, headDim, D, formats.k), names.kvBias),
    norm: vector(names.norm, kv),
    absorb: each((h) => packed(names.absorb(h), kv, nope, formats.absorb)),
    expand: each((h) => packed(names.expand(h), value, kv, formats.v)),
  };
}
