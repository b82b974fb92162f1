// What steps of a few tokens of one sequence take on this machine, by what earlier ones took.

/** Samples of each size, whose median counts: where experts are missing, steps differ. */
const SAMPLES = 7;
/** A size that was not seen for so many steps loses a sample: it may have been disturbed. */
const STALE = 64;
/** What a further token is taken to cost of a step of one until a larger step was seen. */
const ASSUMED = 0.3;

export class StepCosts {
  /** By tokens of the step: ms, the oldest first, and the step that saw it last. */
  readonly #seen = new Map<number, { readonly ms: number[]; at: number }>();
  #steps = 0;

  /** A step of `tokens` took so long. */
  note(tokens: number, ms: number): void {
    const seen = this.#seen.get(tokens) ?? { ms: [], at: 0 };
    this.#seen.set(tokens, seen);
    seen.ms.push(ms);
    if (seen.ms.length > SAMPLES) seen.ms.shift();
    seen.at = ++this.#steps;
    for (const [size, other] of this.#seen) {
      if (size === 1 || this.#steps - other.at < STALE) continue;
      other.ms.shift();
      other.at = this.#steps;
      if (other.ms.length === 0) this.#seen.delete(size);
    }
  }

  /** Milliseconds of a step of one token; null: none was seen. */
  get one(): number | null {
    return this.#median(1);
  }

  /**
   * A step's cost in terms of a step of one token, between sizes that were seen in proportion;
   * null: none of these was seen.
   */
  relative(tokens: number): number | null {
    const { one } = this;
    if (one === null) return null;
    const sizes = [...this.#seen.keys()];
    const below = Math.max(...sizes.filter((size) => size <= tokens));
    const above = Math.min(...sizes.filter((size) => size >= tokens));
    const from = this.#median(below)! / one;
    if (above === Number.POSITIVE_INFINITY) return from + ASSUMED * (tokens - below);
    const to = this.#median(above)! / one;
    return above === below ? from : from + ((to - from) * (tokens - below)) / (above - below);
  }

  #median(tokens: number): number | null {
    const ms = this.#seen.get(tokens)?.ms;
    return ms ? [...ms].sort((a, b) => a - b)[ms.length >> 1]! : null;
  }
}
