// A model as pages show it: what it is made of, and its experts at work.

import type { KvPrecision } from "../backend/ops.ts";
import type { ChatConventions } from "../chat/conventions.ts";
import { type Architecture, routingOf, sparseLayers } from "../model/family.ts";
import type { BackendInfo, ModelStats } from "./api.ts";
import type { ExpertsHead } from "./experts_feed.ts";
import type { RouteListener } from "./route_watch.ts";

/** What a model is. Sizes are in tokens, experts and numbers; times in ms. */
export interface ModelFacts {
  /** The family's name in config.json. */
  readonly family: string;
  /** How many there are, and how many of them a token uses. */
  readonly parameters: { readonly total: number; readonly active: number };
  /** The most positions of a sequence here. */
  readonly context: number;
  /** The most that config.json allows. */
  readonly trainedContext: number;
  /** Layers in all. */
  readonly layers: number;
  /** Layers with a router. */
  readonly sparseLayers: number;
  /** Experts of such a layer. */
  readonly experts: number;
  /** Those of them that a token uses. */
  readonly perToken: number;
  /** Ids that the model knows. */
  readonly vocabulary: number;
  /** Formats of the weights in memory. */
  readonly weights: string;
  /** Those of the file, where the ones in memory are less precise; else null. */
  readonly repacked: string | null;
  /** Precision of the KV cache. */
  readonly kv: KvPrecision;
  /** Ids of the tokenizer; null: there is none. */
  readonly tokenizer: number | null;
  /** Where prompts of conversations come from; null: it cannot chat. */
  readonly chat: string | null;
  /** What computes. */
  readonly backend: BackendInfo;
  /** What opening it took. */
  readonly loadMs: number;
}

/** What pages see of a model. */
export interface ModelView {
  /** What it is. */
  readonly facts: ModelFacts;
  /** What frames of its experts are of (experts_feed.ts). */
  readonly head: ExpertsHead;
  /** What it uses at this moment. */
  stats(): ModelStats;
  /** As Model.watchRoutes(). */
  watchRoutes(listener: RouteListener): () => void;
}

/** What a view is made of. */
interface Viewed {
  readonly architecture: Architecture;
  stats(): ModelStats;
  watchRoutes(listener: RouteListener): () => void;
}

export function viewOf(
  model: Viewed,
  conventions: Pick<ChatConventions, "source"> | null,
  vocabulary: number | null,
): ModelView {
  const { architecture } = model;
  const stats = model.stats();
  const { backend, parameters, context, weights, repacked, kv, loadMs, experts } = stats;
  const sparse = sparseLayers(architecture);
  const { count, perToken } = routingOf(architecture);
  return {
    facts: {
      family: architecture.config.model_type,
      parameters,
      context,
      trainedContext: architecture.context,
      layers: architecture.layers.length,
      sparseLayers: sparse.length,
      experts: count,
      perToken,
      vocabulary: architecture.vocab,
      weights,
      repacked,
      kv,
      tokenizer: vocabulary,
      chat: conventions?.source ?? null,
      backend,
      loadMs,
    },
    head: {
      layers: sparse,
      experts: sparse.map((layer) => architecture.layers[layer]!.experts!.count),
      perToken,
      main: backend.backend === "webgpu" ? "gpu" : "ram",
      recordBytes: experts?.recordBytes ?? null,
      slots: experts?.main.slots ?? null,
    },
    stats: () => model.stats(),
    watchRoutes: (listener) => model.watchRoutes(listener),
  };
}
