// What steps of a few tokens of one sequence take on this machine, by what earlier ones took.

/** Samples of each size, whose median counts: where experts are missing, steps differ. */
const SAMPLES = 7;
/** A size that was not seen for so many steps loses a sample: it may have been disturbed. */
const STALE = 64;
/** What a further token is taken to cost of a step of one until a larger step was seen. */
const ASSUMED = 0.3;
/** Samples that what is expected of a size is worth. */
const GUESSES = 2;

export class StepCosts {
  /** Of steps of one token: ms, the oldest first. */
  readonly #ones: number[] = [];
  /**
   * By tokens of a larger step: its cost in terms of steps of one at that time, the oldest first,
   * and the step that saw it last. Where experts are missing, both depend on the text.
   */
  readonly #seen = new Map<number, { readonly costs: number[]; at: number }>();
  #steps = 0;
  /** By tokens: what relative() said since a larger step's sample came or went. */
  #said: number[] = [];

  /** A step of `tokens` took so long. */
  note(tokens: number, ms: number): void {
    this.#steps++;
    for (const [size, other] of this.#seen) {
      if (size === tokens || this.#steps - other.at < STALE) continue;
      other.costs.shift();
      other.at = this.#steps;
      this.#said = [];
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
    this.#said = [];
  }

  /** Milliseconds of a step of one token; null: none was seen. */
  get one(): number | null {
    return this.#ones.length === 0 ? null : median(this.#ones);
  }

  /**
   * A step's cost in terms of a step of one token, at least 1; null: no step of one was seen. What
   * the sizes next to it say counts as GUESSES samples, so that one disturbed step, or the first of
   * its size, for which code is compiled, does not keep it from being tried again.
   */
  relative(tokens: number): number | null {
    if (this.#ones.length === 0) return null;
    const said = this.#said[tokens] ?? this.#estimate(tokens);
    this.#said[tokens] = said;
    return said;
  }

  #estimate(tokens: number): number {
    if (tokens === 1) return 1;
    const guess = this.#between(tokens);
    const own = this.#seen.get(tokens)?.costs ?? [];
    return Math.max(1, median([...Array<number>(GUESSES).fill(guess), ...own]));
  }

  /** Of a size between others that were seen in proportion, beyond them by ASSUMED. */
  #between(tokens: number): number {
    let [below, from] = [1, 1];
    let [above, to] = [Number.POSITIVE_INFINITY, 0];
    for (const [size, { costs }] of this.#seen) {
      if (size < tokens && size > below) [below, from] = [size, Math.max(1, median(costs))];
      if (size > tokens && size < above) [above, to] = [size, Math.max(1, median(costs))];
    }
    if (above === Number.POSITIVE_INFINITY) return from + ASSUMED * (tokens - below);
    return from + ((to - from) * (tokens - below)) / (above - below);
  }
}

function keep(samples: number[], sample: number): void {
  samples.push(sample);
  if (samples.length > SAMPLES) samples.shift();
}

function median(samples: readonly number[]): number {
  return [...samples].sort((a, b) => a - b)[samples.length >> 1]!;
}
