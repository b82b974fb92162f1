// A caching policy: a moving average (EWMA) of how often each expert is used, and admission only if
// that is clearly higher than the least used resident's. The engine chooses among a slow, a middle
// and a fast one (adaptive.ts). On the traces of bench/experts the slow one's hit rate is at least
// that of policies that admit every miss, with a thirtieth of their uploads.

import type { ExpertUse } from "../backend/experts.ts";
import type { Policy } from "./layer_cache.ts";

/** Weight of one token in the slow average: the last 100 tokens make two thirds. */
export const ALPHA = 0.01;
/**
 * Lead, in share of tokens, that admission needs: without it two equally used experts alternate.
 */
export const MARGIN = 0.02;

/**
 * Tokens that a prompt counts as, at most, however long it is: it says less than the tokens that
 * are decoded after it, and others are decoded beside it, so their experts have to survive it.
 */
export const PROMPT = 32;

export class Ewma implements Policy {
  /** Share of tokens that used each expert, recent tokens weighted most [E]. */
  readonly scores: Float64Array;
  readonly #alpha: number;
  /** What chunks of a prompt may count, until tokens are decoded again. */
  #left = PROMPT;

  /** @param seed initial scores [E], saved by an earlier run */
  constructor(experts: number, alpha = ALPHA, seed?: ArrayLike<number>) {
    this.scores = seed ? Float64Array.from(seed) : new Float64Array(experts);
    this.#alpha = alpha;
  }

  step(use: readonly ExpertUse[], tokens: number): void {
    const keep = (1 - this.#alpha) ** this.#counted(tokens);
    for (let e = 0; e < this.scores.length; e++) this.scores[e]! *= keep;
    for (const { expert, tokens: n } of use) this.scores[expert]! += (1 - keep) * (n / tokens);
  }

  /** The tokens that a step counts as: more than PROMPT are a chunk of a prompt. */
  #counted(tokens: number): number {
    const prompt = tokens > PROMPT;
    const counted = prompt ? this.#left : tokens;
    this.#left = prompt ? 0 : Math.min(PROMPT, this.#left + tokens);
    return counted;
  }

  replaces(missing: number, residents: readonly number[]): number | null {
    let least = residents[0]!;
    for (const expert of residents) if (this.scores[expert]! < this.scores[least]!) least = expert;
    return this.scores[missing]! > this.scores[least]! + MARGIN ? least : null;
  }
}
