// What steps of a few tokens of one sequence take on this machine, by what earlier ones took.

/** Samples of each size, whose median counts: where experts are missing, steps differ. */
const SAMPLES = 7;
/** A size that was not seen for so many steps loses a sample: it may have been disturbed. */
const STALE = 64;
/** What a further token is taken to cost of a step of one until a larger step was seen. */
const ASSUMED = 0.3;

export class StepCosts {
  /** Of steps of one token: ms, the oldest first. */
  readonly #ones: number[] = [];
  /**
   * By tokens of a larger step: its cost in terms of steps of one at that time, the oldest first,
   * and the step that saw it last. Where experts are missing, both depend on the text.
   */
  readonly #seen = new Map<number, { readonly costs: number[]; at: number }>();
  #steps = 0;

  /** A step of `tokens` took so long. */
  note(tokens: number, ms: number): void {
    this.#steps++;
    for (const [size, other] of this.#seen) {
      if (size === tokens || this.#steps - other.at < STALE) continue;
      other.costs.shift();
      other.at = this.#steps;
      if (other.costs.length === 0) this.#seen.delete(size);
    }
    if (tokens === 1) {
      keep(this.#ones, ms);
      return;
    }
    const { one } = this;
    if (one === null) return;
    const seen = this.#seen.get(tokens) ?? { costs: [], at: 0 };
    this.#seen.set(tokens, seen);
    keep(seen.costs, ms / one);
    seen.at = this.#steps;
  }

  /** Milliseconds of a step of one token; null: none was seen. */
  get one(): number | null {
    return this.#ones.length === 0 ? null : median(this.#ones);
  }

  /**
   * A step's cost in terms of a step of one token, at least 1, between sizes that were seen in
   * proportion; null: no step of one was seen.
   */
  relative(tokens: number): number | null {
    if (this.#ones.length === 0) return null;
    const known = (size: number): number => (size === 1 ? 1 : Math.max(1, median(this.#seen.get(size)!.costs)));
    const sizes = [1, ...this.#seen.keys()];
    const below = Math.max(...sizes.filter((size) => size <= tokens));
    const above = Math.min(...sizes.filter((size) => size >= tokens));
    const from = known(below);
    if (above === Number.POSITIVE_INFINITY) return from + ASSUMED * (tokens - below);
    return above === below ? from : from + ((known(above) - from) * (tokens - below)) / (above - below);
  }
}

function keep(samples: number[], sample: number): void {
  samples.push(sample);
  if (samples.length > SAMPLES) samples.shift();
}

function median(samples: readonly number[]): number {
  return [...samples].sort((a, b) => a - b)[samples.length >> 1]!;
}
