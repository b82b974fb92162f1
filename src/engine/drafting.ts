// The drafts of one model: what steps and a draft model's proposals take here, and what became of
// them in all generations.

import type { SpeculationStats } from "./api.ts";
import { Drafter, type DraftModel } from "./drafter.ts";
import { Speculation } from "./speculation.ts";
import type { Spelling } from "./spelling.ts";
import { StepCosts } from "./step_costs.ts";

export class Drafting {
  readonly #vocab: number;
  readonly #rows: number;
  readonly #wanted: () => boolean;
  readonly #draft: DraftModel | null;
  readonly #spelling: Spelling | null;
  /** Of generations whose tokens the host chooses, and of those where steps run ahead of it. */
  readonly #costs = { host: new StepCosts(), ahead: new StepCosts() };
  readonly #counts = { drafted: 0, accepted: 0 };

  /**
   * @param vocab V
   * @param rows most of a step with drafts
   * @param wanted whether tokens may be drafted now
   * @param spelling null: tokens have no text
   */
  constructor(vocab: number, rows: number, wanted: () => boolean, draft: DraftModel | null, spelling: Spelling | null) {
    this.#vocab = vocab;
    this.#rows = rows;
    this.#wanted = wanted;
    this.#draft = draft;
    this.#spelling = spelling;
  }

  /** For a generation, which closes it; `ahead`: its steps run ahead where nothing is drafted. */
  begin(ahead: boolean): Speculation {
    const drafter = this.#draft && new Drafter(this.#draft);
    const [rows, wanted, spelling] = [this.#rows, this.#wanted, this.#spelling];
    const parts = { rows, wanted, spelling, drafter, totals: this.#counts };
    return new Speculation(this.#vocab, this.#costs[ahead ? "ahead" : "host"], parts);
  }

  stats(): SpeculationStats {
    const { weights, memory } = this.#draft?.model.stats() ?? {};
    const draft = weights && memory ? { name: this.#draft!.name, weights, memory } : null;
    return { ...this.#counts, draft };
  }
}
