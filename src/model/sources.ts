// Turns a checkpoint's tensors into a model's sources: takes them by the names that most families
// have, joins parts.

import { rowsOfPlanes } from "../tensor/format.ts";
import type { ExpertSource, MatrixSource } from "../tensor/types.ts";
import { biased, concatBiases, takeNorm, takeProduct } from "./bias.ts";
import {
  type Architecture,
  type FfnSource,
  type LayerArchitecture,
  type LayerSources,
  type ModelSources,
  outputCols,
  type Routing,
  type Take,
} from "./family.ts";
import { takeLatent } from "./mla.ts";
import { inTurn, stackedExperts } from "./stacked.ts";

/**
 * The tensors with the same names in most families: all except a layer's router and experts, which
 * `moe` takes.
 * @param moe gets the layer's prefix, such as "model.layers.3."
 * @param names of dense layers and shared experts
 * @param mixer takes attention, or what a layer has in its place
 */
export function usualSources(
  a: Architecture,
  take: Take,
  moe: Moe,
  names: FfnNames = MLP,
  mixer: Mixer = (p, layer) => attentionSources(a, take, p, layer),
): ModelSources {
  const { hidden: D } = a;
  const layers = a.layers.map((layer, i): LayerSources => {
    const { experts, dense, shared } = layer;
    const p = `model.layers.${i}.`;
    return {
      attnNorm: takeNorm(a, take, `${p}input_layernorm`),
      ...mixer(p, layer),
      ffnNorm: takeNorm(a, take, `${p}post_attention_layernorm`),
      gateBias: null,
      ...(experts ? moe(p, experts) : { gate: null, experts: [] }),
      ffn: dense
        ? ffnSource(a, take, `${p}${names.dense}`, dense.intermediate)
        : shared && ffnSource(a, take, `${p}${names.shared}`, shared.intermediate, shared.gated),
    };
  });
  const embed = take.matrix("model.embed_tokens.weight", a.vocab, D);
  return {
    embed: a.tied && a.biases?.includes("head") ? biased(embed, take.matrix("lm_head.bias", a.vocab)) : embed,
    norm: takeNorm(a, take, "model.norm"),
    head: a.tied ? null : takeProduct(a, take, "head", "lm_head", a.vocab, D),
    layers,
  };
}

/** Takes the router and the experts of the layer with a prefix. */
type Moe = (prefix: string, experts: Routing) => Pick<LayerSources, "gate" | "experts"> & Partial<LayerSources>;

/** Takes attention, or what a layer has in its place. */
type Mixer = (prefix: string, layer: LayerArchitecture) => MixerSources;

/** What a layer takes of attention or of a recurrence. */
export type MixerSources = Pick<LayerSources, "qkv" | "latent" | "qkNorm" | "wo" | "outGate" | "recurrence">;

/** Attention under its usual names. @param query where q is not q_proj */
export function attentionSources(
  { hidden: D, ...a }: Pick<Architecture, "hidden" | "biases">,
  take: Take,
  p: string,
  layer: LayerArchitecture,
  query?: MatrixSource,
): MixerSources {
  const { latent, qkNorm } = layer;
  const attention = layer.attention!;
  const { heads, kvHeads, headDim } = attention;
  const [q, kv] = [heads * headDim, kvHeads * headDim];
  const project = (name: string, rows: number) => takeProduct(a, take, "qkv", `${p}self_attn.${name}_proj`, rows, D);
  const norm = (name: string, whole: number) =>
    take.matrix(`${p}self_attn.${name}_norm.weight`, qkNorm === "whole" ? whole : headDim);
  return {
    ...(latent
      ? { qkv: [], latent: takeLatent({ hidden: D, ...a }, take, p, { attention, latent }) }
      : { qkv: [query ?? project("q", q), project("k", kv), project("v", kv)] }),
    qkNorm: qkNorm && { q: norm("q", q), k: norm("k", kv) },
    wo: takeProduct(a, take, "o", `${p}self_attn.o_proj`, D, outputCols(layer, D)),
  };
}

/** The names of a dense layer's part and of shared experts, whose gate's is that with `_gate`. */
interface FfnNames {
  readonly dense: string;
  readonly shared: string;
}
const MLP: FfnNames = { dense: "mlp", shared: "mlp.shared_expert" };
export const SHARED_EXPERTS: FfnNames = { dense: "mlp", shared: "mlp.shared_experts" };

/** What every token takes of a layer: gate_proj, up_proj and down_proj. */
function ffnSource({ hidden: D, biases }: Architecture, take: Take, name: string, F: number, gated = false): FfnSource {
  const bias = (of: string, rows: number) => take.matrix(`${name}.${of}_proj.bias`, rows);
  return {
    w1: take.matrix(`${name}.gate_proj.weight`, F, D),
    w3: take.matrix(`${name}.up_proj.weight`, F, D),
    w2: take.matrix(`${name}.down_proj.weight`, D, F),
    gate: gated ? take.matrix(`${name}_gate.weight`, 1, D) : null,
    ...(biases?.includes("ffn") && {
      biases: { up: inTurn(bias("gate", F), bias("up", F)), down: bias("down", D) },
    }),
  };
}

/**
 * The sources of a family that names its router `mlp.gate`, the bias to choose by
 * `mlp.gate.e_score_correction_bias`, and its experts' matrices `mlp.experts.3.gate_proj`.
 */
export function mlpSources(a: Architecture, take: Take, names?: FfnNames, mixer?: Mixer): ModelSources {
  const moe: Moe = (p, { count: E, intermediate: F, biased }) => ({
    gate: takeProduct(a, take, "gate", `${p}mlp.gate`, E, a.hidden),
    ...(biased && { gateBias: take.matrix(`${p}mlp.gate.e_score_correction_bias`, E) }),
    experts: routedExperts(take, `${p}mlp.`, ["gate_proj", "up_proj", "down_proj"], { E, F, D: a.hidden }),
  });
  return usualSources(a, take, moe, names, mixer);
}

/**
 * The same with shared experts at `mlp.shared_experts`. Layers after the last one, which predict
 * several tokens at once, are not read.
 */
export function sharedMlpSources(a: Architecture, take: Take): ModelSources {
  take.skipLayersFrom(a.layers.length);
  return mlpSources(a, take, SHARED_EXPERTS);
}

/** The names of an expert's matrices: gate, up and down. */
export type ExpertNames = readonly [gate: string, up: string, down: string];

/**
 * The experts of a layer, in one of two layouts: a tensor a matrix,
 * `${prefix}experts.3.${name}.weight`; or transformers v5's fused ones, experts.gate_up_proj [E,
 * 2F, D], rows 0 .. F - 1 of an expert its gate, and experts.down_proj [E, D, F].
 */
export function routedExperts(
  take: Take,
  prefix: string,
  [gate, up, down]: ExpertNames,
  { E, F, D }: { readonly E: number; readonly F: number; readonly D: number },
): ExpertSource[] {
  const name = (e: number, matrix: string) => `${prefix}experts.${e}.${matrix}.weight`;
  const fused = [`${prefix}experts.gate_up_proj`, `${prefix}experts.down_proj`] as const;
  if (!take.has(fused[0]))
    return Array.from({ length: E }, (_, e) => ({
      w1: take.matrix(name(e, gate), F, D),
      w3: take.matrix(name(e, up), F, D),
      w2: take.matrix(name(e, down), D, F),
    }));
  return stackedExperts(take, ...fused, { E, F, D });
}

/** Matrices of equal width (or one alone), stacked by rows and read as one. */
export function concatRows(name: string, parts: readonly MatrixSource[]): MatrixSource {
  if (parts.length === 1) return parts[0]!;
  const { cols, format: first, importance, order, ggml } = parts[0]!; // of inputs, which all parts share
  const bias = concatBiases(name, parts);
  const same = parts.every(({ format }) => format === first) ? first : undefined;
  const dtype = parts.every((part) => part.dtype === parts[0]!.dtype) ? parts[0]!.dtype : undefined;
  /**
   * Calls `use` for each part that overlaps rows first..first+count-1, with the part's own range
   * and the offset in the result.
   */
  async function each(
    first: number,
    count: number,
    use: (part: MatrixSource, from: number, rows: number, at: number) => Promise<boolean>,
  ): Promise<boolean> {
    let start = 0;
    let all = true;
    for (const part of parts) {
      const from = Math.max(first, start);
      const to = Math.min(first + count, start + part.rows);
      if (from < to) all = (await use(part, from - start, to - from, from - first)) && all;
      start += part.rows;
    }
    return all;
  }
  return {
    name,
    rows: parts.reduce((sum, part) => sum + part.rows, 0),
    cols,
    ...(dtype && { dtype }),
    ...(same && { format: same }),
    ...(bias && { bias }),
    ...(importance && { importance }),
    ...(same && order && { order }),
    async readRows(first, count, into) {
      await each(first, count, async (part, from, rows, at) => {
        await part.readRows(from, rows, into.subarray(at * cols, (at + rows) * cols));
        return true;
      });
    },
    ...(same &&
      ggml &&
      parts.every((part) => part.readBlocks && part.ggml === ggml) && {
        ggml,
        async readBlocks(first, count, into, signal, bypass) {
          const rowBytes = into.length / count;
          await each(first, count, async (part, from, rows, at) => {
            const own = into.subarray(at * rowBytes, (at + rows) * rowBytes);
            await part.readBlocks!(from, rows, own, signal, bypass);
            return true;
          });
        },
      }),
    async readPlanes(format, first, count, planes) {
      return each(first, count, async (part, from, rows, at) => {
        const own = rowsOfPlanes(planes, count, at, rows);
        return (await part.readPlanes?.(format, from, rows, own)) ?? false;
      });
    },
  };
}
