// What a family of models provides: an architecture in our own letters, and the sources
// of its tensors.

import type { Attention, KvGeometry } from "../backend/ops.ts";
import { WeightsError } from "../errors.ts";
import type { Activation } from "../tensor/activation.ts";
import type { RouteRule } from "../tensor/route_rule.ts";
import type { ExpertSource, MatrixSource } from "../tensor/types.ts";
import type { Fields, ModelConfig } from "./config.ts";
import { convChannels, type Recurrence, recurrentStates } from "./recurrence_shape.ts";
import type { StoredFormats } from "./stored_formats.ts";

/** One layer, before its weights are loaded. */
export interface LayerArchitecture {
  /** Null: the layer has `recurrence` in place of attention, and no keys and values. */
  readonly attention: Omit<Attention, "qkNorm" | "sinks"> | null;
  /** Absent: the layer has attention. */
  readonly recurrence?: Recurrence;
  /**
   * Whether the result of attention, or of the delta rule, is gated: times sigmoid of a product of
   * the layer's input, or normed and times its silu. Absent: no.
   */
  readonly gated?: boolean;
  /**
   * RMS norms of q and k between projection and RoPE: over each head, over all heads
   * together, or none.
   */
  readonly qkNorm: "head" | "whole" | null;
  /** Of a layer whose keys and values are made of a latent; absent in others. */
  readonly latent?: LatentArchitecture;
  /** Whether heads have sinks (LayerSources.sinks). */
  readonly sinks?: true;
  /** Null: a dense layer, which has no router. */
  readonly experts: {
    readonly count: number; // E
    readonly perToken: number; // K
    readonly intermediate: number; // F
    /** How the router chooses and weighs them. */
    readonly rule: RouteRule;
    /** Whether a bias is added to scores to choose by (LayerSources.gateBias). */
    readonly biased: boolean;
  } | null;
  /** The feed-forward layer that a dense layer has in place of experts. */
  readonly dense: { readonly intermediate: number } | null;
  /** Shared experts, added to those of the router; gated: times sigmoid(gate . x). */
  readonly shared: { readonly intermediate: number; readonly gated: boolean } | null;
}

/** Sizes of multi-head latent attention beside those that Attention has: see src/model/mla.ts. */
export interface LatentArchitecture {
  /** Between the two products that make queries; null: they are one. */
  readonly rank: number | null;
  readonly nope: number; // dn: numbers of a head that do not turn
  readonly value: number; // dv
  /** Whether RoPE turns neighbours, which the order of rows makes halves. */
  readonly interleaved: boolean;
}

/** How a model's layers choose experts. */
export type Routing = NonNullable<LayerArchitecture["experts"]>;

/**
 * Products that may have biases, in every layer: q, k and v; o; the router's gate; all three of an
 * expert; all three of a dense layer and of shared experts; the head.
 */
export type Biased = "qkv" | "o" | "gate" | "experts" | "ffn" | "head";

/** A decoder, with everything that loading, planning and inspecting need. */
export interface Architecture {
  /** The fields of config.json. */
  readonly config: ModelConfig;
  /** V, ids. */
  readonly vocab: number; // V
  /** D, numbers of a position between layers. */
  readonly hidden: number; // D
  /** The most positions of a sequence. */
  readonly context: number;
  /** Epsilon of the norms before attention, experts and head. */
  readonly eps: number;
  /** Whether these are LayerNorms with biases; absent: RMS norms. */
  readonly layerNorms?: true;
  /** Of every feed-forward part: w2(silu(w1 x) * (w3 x)), or as kernels/activate.ts has it. */
  readonly activation: Activation;
  /** Where swiglu_oai cuts its inputs; absent for others. */
  readonly limit?: number;
  /** Whether the embedding is also the head. */
  readonly tied: boolean;
  /** Products with biases; absent: none. */
  readonly biases?: readonly Biased[];
  /** What each layer is made of. */
  readonly layers: readonly LayerArchitecture[]; // [L]
  /** The formats of a packed folder's matrices (`hotset quantize`), or null. */
  readonly stored: StoredFormats | null;
}

/** What every token takes of a layer: its dense part, or its shared experts. */
export interface FfnSource extends ExpertSource {
  /** [1, D], or null. */
  readonly gate: MatrixSource | null;
  readonly biases?: FfnBiases;
}

/** Vectors: up [.., 2F], of w1 and w3 in turn; down [.., D]; a row for each expert. */
export interface FfnBiases {
  readonly up: MatrixSource;
  readonly down: MatrixSource;
}

/**
 * What a layer with multi-head latent attention has in place of q, k and v. Numbers that turn are
 * the last ones of a head and of kv, in halves.
 */
export interface LatentSources {
  readonly q: MatrixSource; // [H (dn + dr), D]; with `low`, [rank, D]
  /** The second product of queries, and the norm before it. */
  readonly low: { readonly norm: MatrixSource; readonly b: MatrixSource } | null;
  readonly kv: MatrixSource; // [kv + dr, D]
  readonly norm: MatrixSource; // [kv]
  readonly absorb: readonly MatrixSource[]; // [H], [kv, dn] each
  readonly expand: readonly MatrixSource[]; // [H], [dv, kv] each
}

/** The vectors of a layer's recurrence, and its gates, which stay f32. */
export interface RecurrenceSources {
  /** [taps, C], the oldest position's first. */
  readonly conv: MatrixSource;
  /** Of the delta rule. */
  readonly delta?: {
    /** [2 Hv, D]: the rows of b, then of a. */
    readonly gates: MatrixSource;
    readonly aLog: MatrixSource; // [Hv]
    readonly dtBias: MatrixSource; // [Hv]
    /** [dv]: of its result, before the gate. */
    readonly norm: MatrixSource;
  };
}

/** The sources of one layer's tensors. */
export interface LayerSources {
  /** As ffnNorm and the last one: a LayerNorm's has its bias. */
  readonly attnNorm: MatrixSource;
  /**
   * q, k and v; or one matrix of their rows; none with a latent. Of a short convolution: one of the
   * rows of B, C and x.
   */
  readonly qkv: readonly MatrixSource[];
  readonly latent?: LatentSources;
  /** [H Dh, D], or [Hv dv, D]: of `gated` layers. */
  readonly outGate?: MatrixSource;
  readonly recurrence?: RecurrenceSources;
  readonly qkNorm: { readonly q: MatrixSource; readonly k: MatrixSource } | null;
  readonly wo: MatrixSource;
  /** Attention's [H]; absent: none. */
  readonly sinks?: MatrixSource;
  readonly ffnNorm: MatrixSource;
  /** The router's; null: a dense layer. */
  readonly gate: MatrixSource | null;
  readonly gateBias: MatrixSource | null;
  readonly experts: readonly ExpertSource[]; // [E]; none in a dense layer
  readonly expertBiases?: FfnBiases; // of E rows
  readonly ffn: FfnSource | null;
}

/** The sources of a model's tensors. */
export interface ModelSources {
  readonly embed: MatrixSource;
  readonly norm: MatrixSource;
  readonly head: MatrixSource | null; // null: tied to embed
  readonly layers: readonly LayerSources[];
}

/** Takes a checkpoint's tensors by name. Tensors that are never taken are rejected at the end. */
export interface Take {
  /**
   * A tensor of this shape as a matrix.
   * @throws WeightsError if it is missing or has another shape
   */
  matrix(name: string, ...shape: number[]): MatrixSource;
  /**
   * Rows [first, first + rows) of a tensor that was taken; all dimensions except the last
   * count as rows.
   */
  rows(name: string, first: number, rows: number): MatrixSource;
  has(name: string): boolean;
  /** Layers from this number on may be in the files: they are not read. */
  skipLayersFrom(layer: number): void;
  /** Tensors with such names may be in the files: they are not read. */
  skip(names: RegExp): void;
}

/** One file of src/model/families. */
export interface Family {
  /** Values of config.json's model_type. */
  readonly types: readonly string[];
  /** @throws WeightsError naming a wrong field, or a switch that is not implemented */
  architecture(c: Fields): Architecture;
  /** @throws WeightsError for a missing or a wrongly shaped tensor */
  sources(a: Architecture, take: Take): ModelSources;
}

/** The numbers of the layers with a router, ascending. */
export function sparseLayers({ layers }: Pick<Architecture, "layers">): number[] {
  return layers.flatMap(({ experts }, i) => (experts ? [i] : []));
}

/**
 * The experts of the first layer that has a router: in the supported families those of all.
 * @throws WeightsError for a model without any
 */
export function routingOf({ layers }: Pick<Architecture, "layers">): Routing {
  const found = layers.find(({ experts }) => experts)?.experts;
  if (!found)
    throw new WeightsError(
      `config.json: expected a layer with experts, found ${layers.length} dense layers; hotset runs mixtures of experts`,
    );
  return found;
}

/**
 * The sizes of a position in the KV cache, the same in all layers that have attention, and states.
 */
export function kvGeometry({ layers, hidden }: Architecture): KvGeometry {
  const all = layers.flatMap(({ attention }) => attention ?? []);
  const { kvHeads, headDim, latent } = all[0]!;
  if (all.some((a) => a.kvHeads !== kvHeads || a.headDim !== headDim || a.latent !== latent))
    throw new Error("layers whose keys have different sizes are not implemented");
  const states = layers.flatMap(({ recurrence }) => (recurrence ? recurrentStates(recurrence, hidden) : []));
  return {
    ...{ layers: all.length, kvHeads, headDim },
    ...(latent && { keysOnly: true }),
    ...(states.length > 0 && { states }),
  };
}

/** Whether a sequence has states beside keys and values. */
export function hasStates({ layers }: Architecture): boolean {
  return layers.some(({ recurrence }) => recurrence !== undefined);
}

/** Rows of a layer's first matrices together: q, k and v, or what its recurrence takes. */
export function inputRows({ attention, recurrence }: LayerArchitecture, hidden: number): number {
  if (attention) return (attention.heads + 2 * attention.kvHeads) * attention.headDim;
  return recurrence!.kind === "conv" ? 3 * hidden : convChannels(recurrence!, hidden);
}

/** Columns of a layer's output matrix. */
export function outputCols({ attention, latent, recurrence }: LayerArchitecture, hidden: number): number {
  if (attention) return attention.heads * (latent?.value ?? attention.headDim);
  return recurrence!.kind === "conv" ? hidden : recurrence!.shape.valueHeads * recurrence!.shape.valueDim;
}
