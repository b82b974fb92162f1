// Whether something pays on this machine with this text, as prefetching or reading past the page cache: tried with and without,
// in turns, and the better one kept.

export interface PaysGateOptions {
  /** Tokens of one turn; the first of them, which the turn before has prepared, are not counted. */
  readonly window?: number;
  /** Turns of each kind that a decision rests on. */
  readonly rounds?: number;
  /** Tokens that a first decision holds; one that is confirmed holds for twice as many, up to eight times. */
  readonly hold?: number;
}

/** Tokens at the beginning of a turn that are not counted. */
const SETTLING = 2;
/** Share of the slowest tokens of each kind that are not counted: somebody else used the machine. */
const SLOWEST = 0.1;
/** It has to make a token quicker by this share: what is on takes memory or power as well. */
const GAIN = 0.01;

export class PaysGate {
  readonly #window: number;
  readonly #rounds: number;
  readonly #hold: number;
  #times: { readonly on: number[]; readonly off: number[] } = { on: [], off: [] };
  /** Tokens since the test, or since the decision. */
  #tokens = 0;
  #decision: boolean | null = null;
  #holds: number;
  #last: boolean | null = null;

  constructor({ window = 16, rounds = 3, hold = 512 }: PaysGateOptions = {}) {
    this.#window = window;
    this.#rounds = rounds;
    this.#hold = hold;
    this.#holds = hold;
  }

  /** Whether it is on in the step that comes. */
  get on(): boolean {
    return this.#decision ?? this.#turn % 2 === 1;
  }

  /** What the last test has found; null before the first is over. */
  get pays(): boolean | null {
    return this.#last;
  }

  /** Whether a test is under way: other things should stay as they are. */
  get deciding(): boolean {
    return this.#decision === null;
  }

  /** A decoded token took `ms`, with it as `on` said. */
  step(ms: number): void {
    if (this.#decision === null) {
      if (this.#tokens % this.#window >= SETTLING) this.#times[this.on ? "on" : "off"].push(ms);
      this.#tokens++;
      if (this.#turn >= 2 * this.#rounds) this.#decide();
    } else if (++this.#tokens >= this.#holds) {
      this.#decision = null;
      this.#tokens = 0;
    }
  }

  get #turn(): number {
    return Math.floor(this.#tokens / this.#window);
  }

  #decide(): void {
    const { on, off } = this.#times;
    const pays = mean(on) < mean(off) * (1 - GAIN);
    this.#holds = pays === this.#last ? Math.min(2 * this.#holds, 8 * this.#hold) : this.#hold;
    this.#last = pays;
    this.#decision = pays;
    this.#tokens = 0;
    this.#times = { on: [], off: [] };
  }
}

/** Of all but the slowest. */
function mean(times: readonly number[]): number {
  const kept = [...times].sort((a, b) => a - b).slice(0, Math.ceil(times.length * (1 - SLOWEST)));
  return kept.reduce((sum, ms) => sum + ms, 0) / kept.length;
}
