// An A/B trial while a model decodes: does an option (prefetching, reading past the page cache)
// make steps faster here? It is switched off and on in turns, and the faster setting is kept
// for a while. Only steps of as many rows are compared, and what each had to wait for by chance is
// taken into account: missing experts, whose number differs more than what an option may gain.

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
  /** Share of a step's time that the option must save; below 0: that it may cost. */
  readonly gain?: number;
  /**
   * Whether a step takes as long as its missing experts are many, as where a disk is waited for;
   * default: what one of them takes is measured, if there are steps enough.
   */
  readonly proportional?: boolean;
  /** What an earlier run has decided: held before the first trial. */
  readonly remembered?: boolean | null;
}

/** Share of the slowest tokens of each setting that is dropped: other processes were running. */
const SLOWEST = 0.1;
/** Steps of a setting without which the time of a missing expert is not told from chance. */
const FEWEST = 8;
/** A step that was timed. */
interface Step {
  readonly ms: number;
  /** Rows that were computed together. */
  readonly rows: number;
  /** Experts that were not kept, whether they had been prefetched or not. */
  readonly missing: number;
}

export class AbTrial {
  readonly #window: number;
  readonly #rounds: number;
  readonly #settling: number;
  readonly #hold: number;
  readonly #longest: number;
  readonly #gain: number;
  readonly #proportional: boolean;
  #steps: { readonly on: Step[]; readonly off: Step[] } = { on: [], off: [] };
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
    gain = 0.01, // an option costs memory or power as well
    proportional = false,
    remembered = null,
  }: AbTrialOptions = {}) {
    this.#window = window;
    this.#settling = settling;
    this.#rounds = rounds;
    this.#hold = hold;
    this.#longest = longest;
    this.#gain = gain;
    this.#proportional = proportional;
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

  /** Records that a step took `ms` with the option as `on` said. */
  step(ms: number, { rows = 1, missing = 0 }: Partial<Omit<Step, "ms">> = {}): void {
    if (this.#decision === null) {
      const counts = this.#tokens % this.#window >= this.#settling;
      if (counts) this.#steps[this.on ? "on" : "off"].push({ ms, rows, missing });
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
    const saved = savedBy(this.#steps, this.#proportional ? msEach : msOfMissing);
    this.#tokens = 0;
    this.#steps = { on: [], off: [] };
    if (saved === null) return; // tried again
    const pays = saved > this.#gain;
    this.#holds = pays === this.#last ? Math.min(2 * this.#holds, this.#longest) : this.#hold;
    this.#last = pays;
    this.#decision = pays;
  }
}

/**
 * The share of the time that steps with the option on took less; null: no steps had as many rows.
 */
function savedBy({ on, off }: Record<"on" | "off", readonly Step[]>, msOf: typeof msOfMissing): number | null {
  const times = { on: 0, off: 0 };
  for (const rows of new Set(on.map((step) => step.rows))) {
    const [some, others] = [on, off].map((steps) => steps.filter((step) => step.rows === rows)) as [Step[], Step[]];
    if (others.length === 0) continue;
    const each = msOf(some, others);
    const usual = mean([...some, ...others].map(({ missing }) => missing));
    const time = (steps: readonly Step[]): number =>
      mean(withoutSlowest(steps.map(({ ms, missing }) => ms - each * (missing - usual))));
    const count = Math.min(some.length, others.length);
    times.on += count * time(some);
    times.off += count * time(others);
  }
  return times.off === 0 ? null : 1 - times.on / times.off;
}

/** Milliseconds that a missing expert takes, if nothing else takes any. */
function msEach(...settings: readonly Step[][]): number {
  const steps = settings.flat();
  const missing = mean(steps.map((step) => step.missing));
  return missing === 0 ? 0 : mean(steps.map(({ ms }) => ms)) / missing;
}

/** Milliseconds that a missing expert takes: the slope within each setting. */
function msOfMissing(...settings: readonly Step[][]): number {
  if (settings.some(({ length }) => length < FEWEST)) return 0;
  let [products, squares] = [0, 0];
  for (const steps of settings) {
    const limit = Math.max(...withoutSlowest(steps.map(({ ms }) => ms)));
    const kept = steps.filter(({ ms }) => ms <= limit);
    const [ms, missing] = [mean(kept.map((step) => step.ms)), mean(kept.map((step) => step.missing))];
    for (const step of kept) {
      products += (step.ms - ms) * (step.missing - missing);
      squares += (step.missing - missing) ** 2;
    }
  }
  return squares === 0 ? 0 : Math.max(0, products / squares);
}

function withoutSlowest(times: readonly number[]): number[] {
  return [...times].sort((a, b) => a - b).slice(0, Math.ceil(times.length * (1 - SLOWEST)));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
