// Which format each matrix of a model is loaded, or written, in.

import { AUTOMATIC, AUTOMATIC_BF16, FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import { type Format, panelLayout } from "../tensor/format.ts";
import type { ExpertShape } from "../tensor/record.ts";
import type { ExpertSource, MatrixSource } from "../tensor/types.ts";
import type { FfnSource, LatentSources, LayerSources, ModelSources } from "./family.ts";
import { concatRows } from "./sources.ts";

/**
 * What a matrix is for. `q` is also a recurrence's only matrix of inputs. `up`: w1 and w3 of an
 * expert, which have one format; `down`: w2. `ffnUp` and `ffnDown`: those of a dense layer or of
 * shared experts. Of latent attention: q and `qb`, the
 * two products of queries; k, that of latents; `absorb` and v, those of heads.
 */
export type MatrixRole =
  | "embed"
  | "head"
  | "q"
  | "k"
  | "v"
  | "o"
  | "outGate"
  | "qb"
  | "absorb"
  | "up"
  | "down"
  | "ffnUp"
  | "ffnDown";

/** Names the format of a matrix. @param layer of the matrix; -1 outside of layers */
export type FormatPlan = (matrix: MatrixSource, role: MatrixRole, layer: number) => Format;

/** Keeps the format that a matrix is stored in; the others are packed to `format`. */
export function keep(format: Format): FormatPlan {
  return keepOr(packAll(format));
}

/** Keeps the format that a matrix is stored in; the others are packed as a plan says. */
export function keepOr(plan: FormatPlan): FormatPlan {
  return (matrix, role, layer) => matrix.format ?? plan(matrix, role, layer);
}

/** Packs every matrix to `format`, whatever it is stored in. */
export function packAll(format: Format): FormatPlan {
  return () => format;
}

/** A matrix and its format. */
export interface Planned {
  readonly source: MatrixSource;
  readonly format: Format;
}

const QKV = ["q", "k", "v"] as const;

/** The formats of a layer's q, k and v; of all in one if they are stored so. */
export function qkvFormats({ qkv }: Pick<LayerSources, "qkv">, plan: FormatPlan, layer: number): Format[] {
  return qkv.map((source, i) => plan(source, QKV[i]!, layer));
}

/** Neighbours [first, end) of a list of formats that are the same one. */
export function runsOf(formats: readonly Format[]) {
  const runs: { format: Format; first: number; end: number }[] = [];
  for (const [i, format] of formats.entries()) {
    const run = runs.at(-1);
    if (run?.format === format) run.end = i + 1;
    else runs.push({ format, first: i, end: i + 1 });
  }
  return runs;
}

/** A layer's q, k and v in as few matrices as their formats allow. */
export function joinedQkv(layer: Pick<LayerSources, "qkv">, plan: FormatPlan, index: number): Planned[] {
  return runsOf(qkvFormats(layer, plan, index)).map(({ format, first, end }) => {
    const sources = layer.qkv.slice(first, end);
    return { format, source: concatRows(sources.map(({ name }) => name).join(", "), sources) };
  });
}

/**
 * The shape of a layer's experts, which share two formats. Where a plan names several for one of
 * them, it is f32, which holds the values of all.
 */
export function expertShape({ experts }: Pick<LayerSources, "experts">, plan: FormatPlan, layer: number): ExpertShape {
  const { w1 } = experts[0]!;
  const ups = experts.flatMap((expert) => [plan(expert.w1, "up", layer), plan(expert.w3, "up", layer)]);
  const downs = experts.map(({ w2 }) => plan(w2, "down", layer));
  return { count: experts.length, hidden: w1.cols, intermediate: w1.rows, up: common(ups), down: common(downs) };
}

/** The layers that have a router and experts, with the shapes of these. */
export function expertLayers({ layers }: Pick<ModelSources, "layers">, plan: FormatPlan) {
  return layers.flatMap((layer, i) => {
    const { gate, gateBias, ffnNorm, experts } = layer;
    return gate ? [{ gate, gateBias, ffnNorm, experts, shape: expertShape(layer, plan, i) }] : [];
  });
}

/** The format of all heads' matrices. */
export function headsFormat(
  heads: readonly MatrixSource[],
  role: "absorb" | "v",
  plan: FormatPlan,
  layer: number,
): Format {
  return common(heads.map((source) => plan(source, role, layer)));
}

/** A layer's matrices of latent attention but o. */
export function latentMatrices({ q, low, kv, absorb, expand }: LatentSources) {
  const all: { role: MatrixRole; source: MatrixSource; heads?: readonly MatrixSource[] }[] = [
    { role: "q", source: q },
    ...(low ? [{ role: "qb", source: low.b } as const] : []),
    { role: "k", source: kv },
    ...absorb.map((source) => ({ role: "absorb", source, heads: absorb }) as const),
    ...expand.map((source) => ({ role: "v", source, heads: expand }) as const),
  ];
  return all;
}

/** The formats of a dense layer or of shared experts: of w1 and w3 together, and of w2. */
export function ffnFormats({ w1, w3, w2 }: FfnSource, plan: FormatPlan, layer: number) {
  const up = common([plan(w1, "ffnUp", layer), plan(w3, "ffnUp", layer)]);
  return { up, down: plan(w2, "ffnDown", layer) };
}

function common(formats: readonly Format[]): Format {
  const [first] = formats;
  return formats.every((format) => format === first) ? first! : FORMATS.f32;
}

/** A matrix as it is held: an expert's w1 and w3 are one, [2F, D]. */
export interface HeldMatrix {
  readonly format: Format;
  readonly rows: number;
  readonly cols: number;
  readonly role: MatrixRole;
}

/** All matrices but the gates of routers and shared experts, which are f32. */
export function heldMatrices({ embed, head, layers }: ModelSources, plan: FormatPlan): HeldMatrix[] {
  const held = (role: MatrixRole, { rows, cols }: MatrixSource, format: Format) => ({ role, rows, cols, format });
  return [
    held("embed", embed, plan(embed, "embed", -1)),
    ...(head ? [held("head", head, plan(head, "head", -1))] : []),
    ...layers.flatMap((layer, i) => {
      const { experts, ffn } = layer;
      const both = (own: readonly ExpertSource[], roles: readonly [MatrixRole, MatrixRole], up: Format, down: Format) =>
        own.flatMap(({ w1, w2 }) => [held(roles[0], { ...w1, rows: 2 * w1.rows }, up), held(roles[1], w2, down)]);
      const shape = experts.length > 0 ? expertShape(layer, plan, i) : null;
      const own = ffn && ffnFormats(ffn, plan, i);
      return [
        ...joinedQkv(layer, plan, i).map(({ source, format }) => held("q", source, format)),
        ...(layer.latent ? heldLatent(layer.latent, plan, i) : []),
        held("o", layer.wo, plan(layer.wo, "o", i)),
        ...(layer.outGate ? [held("outGate", layer.outGate, plan(layer.outGate, "outGate", i))] : []),
        ...(shape ? both(experts, ["up", "down"], shape.up, shape.down) : []),
        ...(own ? both([ffn], ["ffnUp", "ffnDown"], own.up, own.down) : []),
      ];
    }),
  ];
}

function heldLatent(latent: LatentSources, plan: FormatPlan, layer: number): HeldMatrix[] {
  const { absorb, expand } = latent;
  const common = {
    absorb: headsFormat(absorb, "absorb", plan, layer),
    v: headsFormat(expand, "v", plan, layer),
  };
  return latentMatrices(latent).map(({ role, source: { rows, cols, ...source } }) => {
    const format = role === "absorb" || role === "v" ? common[role] : plan({ ...source, rows, cols }, role, layer);
    return { role, rows, cols, format };
  });
}

/** Bytes of a held matrix. */
export function bytesOf({ format, rows, cols }: HeldMatrix): number {
  return panelLayout(format, rows, cols).bytes;
}

/** The formats of all matrices in words, that of the most bytes first: "q4_k (with q6_k, q8)". */
export function formatsText(sources: ModelSources, plan: FormatPlan): string {
  const bytes = new Map<string, number>();
  for (const held of heldMatrices(sources, plan))
    bytes.set(held.format.name, (bytes.get(held.format.name) ?? 0) + bytesOf(held));
  const [first, ...others] = [...bytes].sort(([, a], [, b]) => b - a).map(([name]) => name);
  return others.length > 0 ? `${first} (with ${others.join(", ")})` : first!;
}

/** The formats that matrices are stored in; undefined: one that is packed when it is loaded. */
export function ownFormats(sources: ModelSources): Set<Format | undefined> {
  return new Set(matricesOf(sources).map(({ format }) => format));
}

/** The formats to choose from for matrices that keep none of their own, the most precise first. */
export function automatic(sources: ModelSources): readonly PackableName[] {
  const packed = matricesOf(sources).filter(({ format }) => format === undefined);
  return packed.every(({ dtype }) => dtype === "BF16") ? AUTOMATIC_BF16 : AUTOMATIC;
}

function matricesOf({ embed, head, layers }: ModelSources): MatrixSource[] {
  const parts = layers.flatMap(({ experts, ffn }) => [...experts, ...(ffn ? [ffn] : [])]);
  const experts = parts.flatMap(({ w1, w2, w3 }) => [w1, w2, w3]);
  const latents = layers.flatMap(({ latent }) => (latent ? latentMatrices(latent).map(({ source }) => source) : []));
  const others = [...layers.flatMap(({ qkv, wo, outGate }) => [...qkv, wo, ...(outGate ? [outGate] : [])]), ...latents];
  return [embed, ...(head ? [head] : []), ...others, ...experts];
}

/** Whether a plan rounds any matrix to a quantized format: one that it does not lie in. */
export function roundsAny(sources: ModelSources, plan: FormatPlan): boolean {
  let any = false;
  heldMatrices(sources, (matrix, role, layer) => {
    const format = plan(matrix, role, layer);
    any ||= format.planes.length > 1 && format !== matrix.format;
    return format;
  });
  return any;
}

/** Names of the quantized formats in the files whose values a plan rounds once more. */
export function roundedAgain(sources: ModelSources, plan: FormatPlan): string[] {
  const names = new Set<string>();
  heldMatrices(sources, (matrix, role, layer) => {
    const format = plan(matrix, role, layer);
    const own = matrix.format;
    if (own && own.planes.length > 1 && format !== own && format !== FORMATS.f32) names.add(own.name);
    return format;
  });
  return [...names];
}
