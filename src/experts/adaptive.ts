// The engine's caching policy: slow and fast moving averages of how often each expert is used, of
// which the one decides that would have served a layer's steps best until now.
//
// Which is best belongs to the model. Where a token's experts say little of the next one's, the
// slow average finds those that a text uses most, and uploads hardly anything. Where a token takes
// half of the last one's again, as is reported of some models with 128 experts a layer, the fast
// average, nearly LRU, halves the reads that the slow one leaves. Each average has a cache of
// numbers alone, which meets the same steps, so that the choice follows what would have happened.

import type { ExpertUse } from "../backend/experts.ts";
import { ALPHA, Ewma, PROMPT } from "./ewma.ts";
import { LayerCache, type Policy } from "./layer_cache.ts";

/** Weights of a token: the last 100, 20 and 4 tokens make two thirds. */
export const RATES = [ALPHA, 0.05, 0.25] as const;
/** What a step's hits count at the next step: the last 200 steps make two thirds. */
const KEEP = 1 - 1 / 200;
/** Hits by which an average has to be ahead: the first few steps say little. */
const AHEAD = 8;

export interface AdaptiveOptions {
  readonly experts: number;
  /** The slots of the cache that the policy is for. */
  readonly slots: number;
  /**
   * Hits that an admission has to be worth: 0 where a miss brings the record anyway, 1 where an
   * admission moves it once more.
   */
  readonly price: number;
  /** Initial scores [E], saved by an earlier run. */
  readonly seed?: ArrayLike<number> | undefined;
}

interface Tried {
  readonly policy: Ewma;
  readonly cache: LayerCache;
  /** Hits less the price of admissions, recent steps weighted most. */
  worth: number;
}

export class Adaptive implements Policy {
  readonly #price: number;
  readonly #tried: readonly Tried[];
  #best: Tried;

  constructor({ experts, slots, price, seed }: AdaptiveOptions) {
    this.#price = price;
    this.#tried = RATES.map((rate) => {
      const policy = new Ewma(experts, rate, seed);
      return { policy, cache: new LayerCache(experts, slots, policy), worth: 0 };
    });
    this.#best = this.#tried[0]!;
  }

  /** Those of the slow average [E], for the next run. */
  get scores(): Float64Array {
    return this.#tried[0]!.policy.scores;
  }

  step(use: readonly ExpertUse[], tokens: number): void {
    for (const one of this.#tried) {
      const { hits, misses } = one.cache.begin(use, tokens);
      const before = one.cache.counters.admissions;
      for (const { expert } of misses) one.cache.admit(expert);
      if (tokens > PROMPT) continue; // a prompt streams all experts
      const admissions = one.cache.counters.admissions - before;
      one.worth = KEEP * one.worth + hits.length - this.#price * admissions;
    }
    const ahead = this.#tried.reduce((best, one) => (one.worth > best.worth ? one : best));
    if (ahead.worth > this.#best.worth + AHEAD) this.#best = ahead;
  }

  replaces(missing: number, residents: readonly number[]): number | null {
    return this.#best.policy.replaces(missing, residents);
  }

  /** Forgets all steps. */
  clear(seed?: ArrayLike<number> | null): void {
    for (const one of this.#tried) {
      one.policy.scores.set(seed ?? one.policy.scores.map(() => 0));
      one.cache.clear();
      one.worth = 0;
    }
    this.#best = this.#tried[0]!;
  }
}
