// Replays a trace on the CPU with memory that is split: slots of the engine's own for some experts
// of each layer, and the system's page cache, which keeps what was read last, for the rest.

import { Adaptive } from "../../src/experts/adaptive.ts";
import { LayerCache } from "../../src/experts/layer_cache.ts";
import type { Trace } from "../../src/experts/trace.ts";
import { PRICE } from "../../src/wiring/policies.ts";
import { layerSteps } from "./replay.ts";

/** Of decoded tokens, means over traces. */
export interface Split {
  /** Experts of a layer that fit the memory, and those of them that have a slot. */
  readonly memory: number;
  readonly slots: number;
  /** Experts a token that came from the page cache, and from the disk. */
  readonly cached: number;
  readonly disk: number;
}

/** Memory for as many experts a layer, without slots up to slots for all of it. */
export function splits(traces: readonly Trace[], memories: readonly number[]): Split[] {
  return memories.flatMap((memory) =>
    Array.from({ length: memory + 1 }, (_, slots) => {
      const each = traces.map((trace) => split(trace, memory, slots));
      const mean = (of: (one: { cached: number; disk: number }) => number): number =>
        each.reduce((sum, one) => sum + of(one), 0) / each.length;
      return { memory, slots, cached: mean(({ cached }) => cached), disk: mean(({ disk }) => disk) };
    }),
  );
}

function split(trace: Trace, memory: number, slots: number): { readonly cached: number; readonly disk: number } {
  const { experts, layers } = trace;
  const tiers = Array.from({ length: layers }, () => {
    return new LayerCache(experts, slots, new Adaptive({ experts, slots, price: PRICE.ram }));
  });
  const steps = layerSteps(trace);
  const pages = new Set<number>(); // by layer and expert, the least recently read first
  const most = layers * (memory - slots);
  let [tokens, cached, disk] = [0, 0, 0];
  const length = Math.max(...steps.map((own) => own.length));
  for (let i = 0; i < length; i++)
    for (const [layer, own] of steps.entries()) {
      const step = own[i];
      if (!step) continue;
      if (layer === 0 && step.decode) tokens += step.rows;
      const { misses } = tiers[layer]!.begin(step.use, step.rows);
      for (const { expert } of misses) {
        const page = layer * experts + expert;
        const found = pages.delete(page);
        pages.add(page);
        if (pages.size > most) pages.delete(pages.values().next().value!);
        if (step.decode && found) cached++;
        else if (step.decode) disk++;
        tiers[layer]!.admit(expert);
      }
    }
  return tokens === 0 ? { cached: 0, disk: 0 } : { cached: cached / tokens, disk: disk / tokens };
}
