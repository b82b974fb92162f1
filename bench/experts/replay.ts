// Replays a trace through the cache that the engine uses (src/experts/layer_cache.ts), and counts.

import { type ExpertUse, usesOf } from "../../src/backend/experts.ts";
import { Ewma } from "../../src/experts/ewma.ts";
import { LayerCache, type Policy } from "../../src/experts/layer_cache.ts";
import { decodes, type Trace } from "../../src/experts/trace.ts";
import { Belady, BeladyBypass, Lfu, Lru, Random, Static } from "./policies.ts";

/** What one layer does in the steps that it takes part in. */
export interface LayerStep {
  readonly decode: boolean;
  readonly rows: number;
  readonly use: readonly ExpertUse[];
}

export interface Contestant {
  readonly name: string;
  /** The policy of a layer. @param steps what the layer is going to do, for those who may know */
  create(experts: number, slots: number, steps: readonly LayerStep[], layer: number): Policy;
  /** Who has a slot before the first step; default: nobody. */
  initial?(experts: number, slots: number, steps: readonly LayerStep[]): readonly number[];
}

const uses = (steps: readonly LayerStep[]) => steps.map(({ use }) => use);

/** The ends of what is possible: nobody needs to be worse than chance, and nobody can be better than the last two. */
export const CONTESTANTS: readonly Contestant[] = [
  { name: "random", create: (_e, _s, _steps, layer) => new Random(1 + layer) },
  { name: "LRU", create: () => new Lru() },
  { name: "LFU", create: () => new Lfu() },
  { name: "EWMA+bypass", create: (experts) => new Ewma(experts) },
  { name: "static", create: () => new Static(), initial: mostUsed },
  { name: "Belady", create: (experts, _s, steps) => new Belady(experts, uses(steps)) },
  { name: "Belady+bypass", create: (experts, _s, steps) => new BeladyBypass(experts, uses(steps)) },
];

/** The experts that most decoded tokens of the trace use: what nobody could know beforehand. */
function mostUsed(experts: number, slots: number, steps: readonly LayerStep[]): readonly number[] {
  const tokens = new Float64Array(experts);
  for (const { decode, use } of steps) if (decode) for (const { expert, tokens: n } of use) tokens[expert]! += n;
  return [...tokens.keys()].sort((a, b) => tokens[b]! - tokens[a]!).slice(0, slots);
}

/** Counts of steps of one kind, over all layers unless said otherwise. */
export interface Counts {
  /** Rows of all steps, counted once for all layers. */
  tokens: number;
  hits: number;
  misses: number;
  /** Misses that were given a slot: so many experts are uploaded to stay. */
  admissions: number;
  /** Steps of a layer, and those of them without a miss. */
  layerSteps: number;
  complete: number;
}

export interface Replay {
  /** Never mixed: a prompt's chunk uses nearly every expert. */
  readonly decode: Counts;
  readonly prefill: Counts;
  /** Hit rate of each layer's decode steps. */
  readonly layers: readonly number[];
}

/** The steps of each layer, as its cache meets them: a layer without rows has no step. */
export function layerSteps(trace: Trace): LayerStep[][] {
  return Array.from({ length: trace.layers }, (_, layer) =>
    trace.steps.flatMap((step) => {
      const ids = step.layers[layer]!;
      return ids.length === 0 ? [] : [{ decode: decodes(step), rows: ids.length / trace.k, use: usesOf(ids) }];
    }),
  );
}

/** Plays a trace with `slots` slots a layer: every miss of a step asks for a slot, in ascending order of expert. */
export function replay(trace: Trace, contestant: Contestant, slots: number, steps = layerSteps(trace)): Replay {
  const counts = (decode: boolean): Counts => {
    const tokens = trace.steps.reduce((sum, step) => sum + (decodes(step) === decode ? step.tokens : 0), 0);
    return { tokens, hits: 0, misses: 0, admissions: 0, layerSteps: 0, complete: 0 };
  };
  const [decode, prefill] = [counts(true), counts(false)];
  const layers = steps.map((layerSteps, layer) => {
    const policy = contestant.create(trace.experts, slots, layerSteps, layer);
    const cache = new LayerCache(trace.experts, slots, policy);
    for (const expert of contestant.initial?.(trace.experts, slots, layerSteps) ?? []) cache.admit(expert);
    let [hits, asked] = [0, 0];
    for (const step of layerSteps) {
      const to = step.decode ? decode : prefill;
      const before = { ...cache.counters };
      const { misses } = cache.begin(step.use, step.rows);
      for (const { expert } of misses) cache.admit(expert);
      const { counters } = cache;
      to.hits += counters.hits - before.hits;
      to.misses += counters.misses - before.misses;
      to.admissions += counters.admissions - before.admissions;
      to.layerSteps++;
      if (misses.length === 0) to.complete++;
      if (!step.decode) continue;
      hits += counters.hits - before.hits;
      asked += step.use.length;
    }
    return asked === 0 ? 0 : hits / asked;
  });
  return { decode, prefill, layers };
}
