// The policy that the engine uses: a slow average of how often each expert is used, and admission only of those who are used
// clearly more than somebody who has a slot. Over the traces of bench/experts it hits as often as policies that admit everybody,
// or oftener, with a thirtieth of their uploads.

import type { ExpertUse } from "../backend/experts.ts";
import type { Policy } from "./layer_cache.ts";

/** Weight of one token: the last hundred count for two thirds. Slower follows a change of subject late, faster uploads more. */
export const ALPHA = 0.01;
/** Share of tokens that a newcomer must be ahead by: without it two that are used about equally often take turns. */
export const MARGIN = 0.02;

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
    return this.scores[missing]! > this.scores[least]! + MARGIN ? least : null;
  }
}
