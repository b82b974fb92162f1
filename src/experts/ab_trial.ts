// An A/B trial while a model decodes: does an option (prefetching, reading past the page cache)
// make tokens faster here? It is switched off and on in turns, and the faster setting is kept
// for a while.

export interface AbTrialOptions {
  /** Tokens of one turn. */
  readonly window?: number;
  /** The first tokens of a turn that still profit from the turn before, and are not counted. */
  readonly settling?: number;
  /** Turns with the option on, and as many with it off, before a decision. */
  readonly rounds?: number;
  /** Tokens until the next trial. Doubles when a trial confirms the last one, up to `longest`. */
  readonly hold?: number;
  readonly longest?: number;
  /** What an earlier run has decided: held before the first trial. */
  readonly remembered?: boolean | null;
}

/** Share of the slowest tokens of each setting that is dropped: other processes were running. */
const SLOWEST = 0.1;
/** The option must save this share of a token's time: it costs memory or power as well. */
const GAIN = 0.01;

export class AbTrial {
  readonly #window: number;
  readonly #rounds: number;
  readonly #settling: number;
  readonly #hold: number;
  readonly #longest: number;
  #times: { readonly on: number[]; readonly off: number[] } = { on: [], off: [] };
  /** Tokens since the trial began, or since its decision. */
  #tokens = 0;
  #decision: boolean | null;
  #holds: number;
  #last: boolean | null;

  constructor({
    window = 16,
    settling = 2,
    rounds = 3,
    hold = 512,
    longest = 8 * hold,
    remembered = null,
  }: AbTrialOptions = {}) {
    this.#window = window;
    this.#settling = settling;
    this.#rounds = rounds;
    this.#hold = hold;
    this.#longest = longest;
    this.#holds = hold;
    this.#decision = remembered;
    this.#last = remembered;
  }

  /** Whether the option is on in the next step. */
  get on(): boolean {
    return this.#decision ?? this.#turn % 2 === 1;
  }

  /** The result of the last trial, or what is remembered of one; null if there is neither. */
  get pays(): boolean | null {
    return this.#last;
  }

  /** Whether a trial is running: nothing else should change meanwhile. */
  get deciding(): boolean {
    return this.#decision === null;
  }

  /** Records that a token took `ms` with the option as `on` said. */
  step(ms: number): void {
    if (this.#decision === null) {
      if (this.#tokens % this.#window >= this.#settling) this.#times[this.on ? "on" : "off"].push(ms);
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
    this.#holds = pays === this.#last ? Math.min(2 * this.#holds, this.#longest) : this.#hold;
    this.#last = pays;
    this.#decision = pays;
    this.#tokens = 0;
    this.#times = { on: [], off: [] };
  }
}

/** The mean of all but the slowest. */
function mean(times: readonly number[]): number {
  const kept = [...times].sort((a, b) => a - b).slice(0, Math.ceil(times.length * (1 - SLOWEST)));
  return kept.reduce((sum, ms) => sum + ms, 0) / kept.length;
}
