// The drafts of one model: what steps and a draft model's proposals take here, and what became of
// them in all generations.

import type { SpeculationStats } from "./api.ts";
import { Drafter, type DraftModel } from "./drafter.ts";
import { Speculation } from "./speculation.ts";
import { StepCosts } from "./step_costs.ts";

export class Drafting {
  readonly #vocab: number;
  readonly #wanted: () => boolean;
  readonly #draft: DraftModel | null;
  readonly #costs = new StepCosts();
  readonly #counts = { drafted: 0, accepted: 0 };

  /**
   * @param vocab V
   * @param wanted whether tokens may be drafted now
   */
  constructor(vocab: number, wanted: () => boolean, draft: DraftModel | null) {
    this.#vocab = vocab;
    this.#wanted = wanted;
    this.#draft = draft;
  }

  /** For a generation, which closes it. */
  begin(): Speculation {
    const drafter = this.#draft && new Drafter(this.#draft);
    return new Speculation(this.#vocab, this.#costs, { wanted: this.#wanted, drafter, totals: this.#counts });
  }

  stats(): SpeculationStats {
    const { weights, memory } = this.#draft?.model.stats() ?? {};
    const draft = weights && memory ? { name: this.#draft!.name, weights, memory } : null;
    return { ...this.#counts, draft };
  }
}
