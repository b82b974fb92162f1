// Replays a trace with one memory for all layers, counted in experts: what is missing a token by
// what a mapped file does, by hotset's tier in RAM, and by those who know more than an engine can.

import { usesOf } from "../../src/backend/experts.ts";
import { Adaptive } from "../../src/experts/adaptive.ts";
import { LayerCache } from "../../src/experts/layer_cache.ts";
import { decodes, type Trace } from "../../src/experts/trace.ts";
import { PRICE } from "../../src/wiring/policies.ts";

/** Experts missing a token, with memory for so many of all layers' experts. */
export interface Together {
  readonly memory: number;
  /** Whichever expert was used longest ago makes room: the page cache of a mapped file, at best. */
  readonly lru: number;
  /** Quotas for each layer, as the tier in RAM has them. */
  readonly hotset: number;
  /** The experts that these tokens use most, from the start and for ever. */
  readonly fixed: number;
  /** Belady's optimum, which knows all routes, and may reject an expert: nothing can miss fewer. */
  readonly belady: number;
}

/** The part of the decoded tokens that fills the memory, and is not counted. */
const FILLING = 1 / 5;

/** An expert's use: a token, and the expert of all layers. */
interface Use {
  readonly token: number;
  readonly expert: number;
}

export function together(trace: Trace, memories: readonly number[]): Together[] {
  const steps = trace.steps.filter(decodes);
  const uses = steps.flatMap((step, token) =>
    step.layers.flatMap((ids, layer) =>
      usesOf(ids).map(({ expert }): Use => ({ token, expert: layer * trace.experts + expert })),
    ),
  );
  const first = Math.floor(FILLING * steps.length);
  const tokens = steps.slice(first).reduce((sum, step) => sum + step.tokens, 0);
  const each = (misses: number): number => (tokens === 0 ? 0 : misses / tokens);
  return memories.map((memory) => ({
    memory,
    lru: each(lru(uses, first, memory)),
    hotset: each(hotset(trace, first, memory)),
    fixed: each(fixed(uses, first, memory)),
    belady: each(belady(uses, first, memory)),
  }));
}

function lru(uses: readonly Use[], first: number, memory: number): number {
  const held = new Set<number>(); // the one that was used longest ago first
  let misses = 0;
  for (const { token, expert } of uses) {
    if (!held.delete(expert) && token >= first) misses++;
    held.add(expert);
    if (held.size > memory) held.delete(held.values().next().value!);
  }
  return misses;
}

function hotset(trace: Trace, first: number, memory: number): number {
  const { experts, layers } = trace;
  const quota = Math.floor(memory / layers);
  const tiers = Array.from({ length: layers }, (_, layer) => {
    const slots = Math.min(experts, layer < memory - layers * quota ? quota + 1 : quota);
    return new LayerCache(experts, slots, new Adaptive({ experts, slots, price: PRICE.ram }));
  });
  let missing = 0;
  for (const [at, step] of trace.steps.filter(decodes).entries())
    for (const [layer, ids] of step.layers.entries()) {
      if (ids.length === 0) continue;
      const { misses } = tiers[layer]!.begin(usesOf(ids), step.tokens);
      for (const { expert } of misses) tiers[layer]!.admit(expert);
      if (at >= first) missing += misses.length;
    }
  return missing;
}

function fixed(uses: readonly Use[], first: number, memory: number): number {
  const counts = new Map<number, number>();
  for (const { token, expert } of uses) if (token >= first) counts.set(expert, (counts.get(expert) ?? 0) + 1);
  const falling = [...counts.values()].sort((a, b) => b - a);
  return falling.slice(memory).reduce((sum, count) => sum + count, 0);
}

function belady(uses: readonly Use[], first: number, memory: number): number {
  const next = nextUses(uses);
  const held = new Map<number, number>(); // the next use of each expert
  let misses = 0;
  for (const [at, { token, expert }] of uses.entries()) {
    const known = held.delete(expert);
    if (!known && token >= first) misses++;
    held.set(expert, next[at]!);
    if (held.size <= memory) continue;
    let last = expert;
    for (const [other, use] of held) if (use > held.get(last)!) last = other;
    held.delete(last);
  }
  return misses;
}

/** The place of each expert's next use; Infinity for none. */
function nextUses(uses: readonly Use[]): number[] {
  const next = uses.map(() => Number.POSITIVE_INFINITY);
  const seen = new Map<number, number>();
  for (let at = uses.length - 1; at >= 0; at--) {
    const { expert } = uses[at]!;
    next[at] = seen.get(expert) ?? Number.POSITIVE_INFINITY;
    seen.set(expert, at);
  }
  return next;
}

/** Experts missing a token, a line for each memory. */
export function togetherTable(rows: readonly Together[]): string {
  const line = (cells: readonly string[]): string => cells.map((cell) => cell.padStart(12)).join("");
  return [
    "memory for so many experts of all layers: experts that are missing, a token",
    line(["memory", "LRU", "hotset", "fixed", "Belady"]),
    ...rows.map(({ memory, ...misses }) => {
      const { lru, hotset, fixed, belady } = misses;
      return line([String(memory), ...[lru, hotset, fixed, belady].map((value) => value.toFixed(2))]);
    }),
    "",
  ].join("\n");
}
