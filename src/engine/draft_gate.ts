// Decides how many tokens a draft model proposes: as many as promise the most tokens in a time.
// While none promise anything, a few are proposed now and then, ever more seldom.

import { mostGain } from "./most_gain.ts";
import { Share } from "./share.ts";
import type { StepCosts } from "./step_costs.ts";

/** Tokens that are proposed at a time. */
const COUNTS = [1, 2, 3, 4, 5, 7, 9, 11] as const;
/** Tokens that are proposed to find out what they are worth. */
const TRIED = 3;
/** The share of right tokens that is expected at first. */
const EXPECTED = 0.6;
/** Steps between two trials: at first, and at most. */
const PAUSE = { first: 32, most: 512 } as const;
/** Proposals whose median time counts. */
const SAMPLES = 9;

export class DraftGate {
  /** How often a proposed token is chosen where all before it were. */
  readonly #right = new Share(EXPECTED);
  /** Milliseconds a proposed token, the oldest first. */
  readonly #ms: number[] = [];
  #pause: number = PAUSE.first;
  #since = 0;

  /** How many tokens to propose for the next step, at most `most`; 0: none. Once before a step. */
  wanted(costs: StepCosts, most: number): number {
    const { one } = costs;
    if (one === null) return 0;
    const best = this.#best(one, costs, most);
    if (best > 0) {
      this.#pause = PAUSE.first;
      this.#since = 0;
      return best;
    }
    if (this.#ms.length > 0 && ++this.#since < this.#pause) return 0;
    if (this.#ms.length > 0) this.#pause = Math.min(2 * this.#pause, PAUSE.most);
    this.#since = 0;
    return Math.min(most, TRIED);
  }

  /** Proposing so many tokens took so long. */
  took(tokens: number, ms: number): void {
    if (tokens === 0) return;
    this.#ms.push(ms / tokens);
    if (this.#ms.length > SAMPLES) this.#ms.shift();
  }

  /** Of `proposed` tokens the first `right` were chosen. */
  observed(proposed: number, right: number): void {
    for (let i = 0; i < right; i++) this.#right.note(true);
    if (right < proposed) this.#right.note(false);
  }

  #best(one: number, costs: StepCosts, most: number): number {
    if (this.#ms.length === 0) return 0;
    const each = [...this.#ms].sort((a, b) => a - b)[this.#ms.length >> 1]! / one;
    return mostGain(
      COUNTS.filter((n) => n <= most),
      () => this.#right.value,
      (n) => costs.relative(n + 1)! + n * each,
    );
  }
}
