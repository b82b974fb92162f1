// A share of recent observations that were right, from a guess before the first one.

/** What an observation counts at least. */
const RATE = 0.1;
/** How many observations the guess is worth. */
const GUESS = 3;

export class Share {
  #value: number;
  #seen = 0;

  /** @param guess 0 to 1 */
  constructor(guess: number) {
    this.#value = guess;
  }

  /** 0 to 1. */
  get value(): number {
    return this.#value;
  }

  note(right: boolean): void {
    this.#seen++;
    this.#value += Math.max(RATE, 1 / (GUESS + this.#seen)) * (Number(right) - this.#value);
  }
}
