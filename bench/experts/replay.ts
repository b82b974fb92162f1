// Replays a trace through the cache that the engine uses (src/experts/layer_cache.ts), and counts.

import { type ExpertUse, usesOf } from "../../src/backend/experts.ts";
import { Adaptive } from "../../src/experts/adaptive.ts";
import { Ewma } from "../../src/experts/ewma.ts";
import { LayerCache, type Policy } from "../../src/experts/layer_cache.ts";
import { decodes, type Trace } from "../../src/experts/trace.ts";
import { PRICE } from "../../src/wiring/policies.ts";
import { Belady, BeladyBypass, ClassLru, Lfu, Lru, Random, Static } from "./policies.ts";

/** The steps of one layer. */
export interface LayerStep {
  readonly decode: boolean;
  readonly rows: number;
  readonly use: readonly ExpertUse[];
}

export interface Contestant {
  readonly name: string;
  /** The policy of a layer. @param steps the layer's future, for policies that may know it */
  create(experts: number, slots: number, steps: readonly LayerStep[], layer: number): Policy;
  /** Residents before the first step; default: none. */
  initial?(experts: number, slots: number, steps: readonly LayerStep[]): readonly number[];
}

const uses = (steps: readonly LayerStep[]) => steps.map(({ use }) => use);

/**
 * The policies to compare. Random eviction is the lower end, and no policy can beat the last two.
 */
export const CONTESTANTS: readonly Contestant[] = [
  { name: "random", create: (_e, _s, _steps, layer) => new Random(1 + layer) },
  { name: "LRU", create: () => new Lru() },
  { name: "LFU", create: () => new Lfu() },
  { name: "ClassLRU", create: () => new ClassLru() },
  { name: "EWMA+bypass", create: (experts) => new Ewma(experts) },
  { name: "hotset, device", create: (experts, slots) => new Adaptive({ experts, slots, price: PRICE.device }) },
  { name: "hotset, RAM", create: (experts, slots) => new Adaptive({ experts, slots, price: PRICE.ram }) },
  { name: "static", create: () => new Static(), initial: mostUsed },
  { name: "Belady", create: (experts, _s, steps) => new Belady(experts, uses(steps)) },
  { name: "Belady+bypass", create: (experts, _s, steps) => new BeladyBypass(experts, uses(steps)) },
];

/** The experts that most decoded tokens use, which cannot be known beforehand. */
function mostUsed(experts: number, slots: number, steps: readonly LayerStep[]): readonly number[] {
  const tokens = new Float64Array(experts);
  for (const { decode, use } of steps) if (decode) for (const { expert, tokens: n } of use) tokens[expert]! += n;
  return [...tokens.keys()].sort((a, b) => tokens[b]! - tokens[a]!).slice(0, slots);
}

/** Counts of steps of one kind, over all layers unless noted. */
export interface Counts {
  /** Rows of all steps, counted once for all layers. */
  tokens: number;
  hits: number;
  misses: number;
  /** Misses that were admitted to a slot. */
  admissions: number;
  /** Steps of a layer, and those of them without a miss. */
  layerSteps: number;
  complete: number;
}

export interface Replay {
  /** Counted separately: a prompt's chunk uses nearly every expert. */
  readonly decode: Counts;
  readonly prefill: Counts;
  /** Hit rate of each layer's decode steps. */
  readonly layers: readonly number[];
}

/** The steps of each layer; a layer without rows has none. */
export function layerSteps(trace: Trace): LayerStep[][] {
  return Array.from({ length: trace.layers }, (_, layer) =>
    trace.steps.flatMap((step) => {
      const ids = step.layers[layer]!;
      return ids.length === 0 ? [] : [{ decode: decodes(step), rows: ids.length / trace.k, use: usesOf(ids) }];
    }),
  );
}

/**
 * Replays a trace with `slots` slots in each layer. The misses of a step are offered to the policy
 * in ascending order of expert.
 */
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
