// The drafts of one model: what steps and a draft model's proposals take here, and what became of
// them in all generations.

import type { Constraint } from "../grammar/types.ts";
import type { SpeculationStats } from "./api.ts";
import { Drafter, type DraftModel } from "./drafter.ts";
import { ForcedShares, forcedTokens } from "./forced_tokens.ts";
import { Speculation } from "./speculation.ts";
import type { Spelling } from "./spelling.ts";
import { StepCosts } from "./step_costs.ts";

/** The tokens of a model. */
interface Words {
  readonly vocab: number;
  readonly spelling: Spelling | null;
  /** The ids of a text, without BOS. */
  readonly encode: (text: string) => readonly number[];
}

export class Drafting {
  readonly #words: Words;
  readonly #rows: number;
  readonly #wanted: () => boolean;
  readonly #draft: DraftModel | null;
  /** Of generations whose tokens the host chooses, and of those where steps run ahead of it. */
  readonly #costs = { host: new StepCosts(), ahead: new StepCosts() };
  readonly #counts = { drafted: 0, accepted: 0 };
  readonly #forcedRight = new ForcedShares();

  /**
   * @param words V, and the tokens' bytes; null: they have none
   * @param rows most of a step with drafts
   * @param wanted whether tokens may be drafted now
   */
  constructor(words: Words, rows: number, wanted: () => boolean, draft: DraftModel | null) {
    this.#words = words;
    this.#rows = rows;
    this.#wanted = wanted;
    this.#draft = draft;
  }

  /** For a generation, which closes it; `ahead`: its steps run ahead where nothing is drafted. */
  begin(ahead: boolean, constraint?: Constraint): Speculation {
    const drafter = this.#draft && new Drafter(this.#draft);
    const { vocab, spelling, encode } = this.#words;
    const parts = { rows: this.#rows, wanted: this.#wanted, spelling, drafter, totals: this.#counts };
    return new Speculation(vocab, this.#costs[ahead ? "ahead" : "host"], {
      ...parts,
      ...(spelling && constraint?.forced && { forced: () => forcedTokens(constraint, encode) }),
      forcedRight: this.#forcedRight,
    });
  }

  stats(): SpeculationStats {
    const { weights, memory } = this.#draft?.model.stats() ?? {};
    const draft = weights && memory ? { name: this.#draft!.name, weights, memory } : null;
    return { ...this.#counts, draft };
  }
}
