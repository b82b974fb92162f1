// The policy that the engine uses: a slow average of how often each expert is used, and admission only of those who are used
// more than somebody who has a slot.

import type { ExpertUse } from "../backend/experts.ts";
import type { Policy } from "./layer_cache.ts";

/** Weight of one token. */
export const ALPHA = 0.01;

export class Ewma implements Policy {
  /** Share of tokens that used each expert, the latest weighing most [E]. */
  readonly scores: Float64Array;
  readonly #alpha: number;

  /** @param seed scores to begin with [E], as learned in an earlier run */
  constructor(experts: number, alpha = ALPHA, seed?: ArrayLike<number>) {
    this.scores = seed ? Float64Array.from(seed) : new Float64Array(experts);
    this.#alpha = alpha;
  }

  step(use: readonly ExpertUse[], tokens: number): void {
    const keep = (1 - this.#alpha) ** tokens;
    for (let e = 0; e < this.scores.length; e++) this.scores[e]! *= keep;
    for (const { expert, tokens: n } of use) this.scores[expert]! += (1 - keep) * (n / tokens);
  }

  replaces(missing: number, residents: readonly number[]): number | null {
    let least = residents[0]!;
    for (const expert of residents) if (this.scores[expert]! < this.scores[least]!) least = expert;
    return this.scores[missing]! > this.scores[least]! ? least : null;
  }
}
