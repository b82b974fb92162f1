// How fast models write at this moment.

/** Seconds that a speed is the mean of. */
const SECONDS = 5;

/** Tokens of each of the last seconds, by model. */
export class Speed {
  readonly #models = new Map<string, { second: number; readonly tokens: number[] }>();
  readonly #now: () => number;

  /** @param now milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  add(model: string, tokens: number): void {
    const one = this.#at(model);
    one.tokens[one.second % SECONDS]! += tokens;
  }

  /** Tokens a second, of all answers together. */
  of(model: string): number {
    if (!this.#models.has(model)) return 0;
    const { tokens } = this.#at(model);
    return tokens.reduce((sum, count) => sum + count, 0) / SECONDS;
  }

  /** The counts of a model, those of seconds that are over set to 0. */
  #at(model: string): { readonly second: number; readonly tokens: number[] } {
    const second = Math.floor(this.#now() / 1000);
    const one = this.#models.get(model) ?? { second, tokens: Array<number>(SECONDS).fill(0) };
    this.#models.set(model, one);
    const passed = Math.min(SECONDS, second - one.second);
    for (let i = 1; i <= passed; i++) one.tokens[(one.second + i) % SECONDS] = 0;
    one.second = Math.max(one.second, second);
    return one;
  }
}
