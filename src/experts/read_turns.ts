// Turns of the event loop while a step computes and reads are on their way: the thread that
// computes also notices what has come, and asks for more of the disk.

/** So often at least, in milliseconds. */
const TURN_MS = 2;

export class ReadTurns {
  readonly #clock: () => number;
  readonly #turn: (() => Promise<void>) | undefined;
  #last = 0;

  /** @param turn absent: what has come is noticed where a step waits */
  constructor(clock: () => number, turn: (() => Promise<void>) | undefined) {
    this.#clock = clock;
    this.#turn = turn;
  }

  /** Before an expert is computed. @throws the reasons of aborted signals */
  async take(...signals: readonly (AbortSignal | undefined)[]): Promise<void> {
    if (!this.#turn || this.#clock() - this.#last < TURN_MS) return;
    await this.#turn();
    this.#last = this.#clock();
    for (const signal of signals) signal?.throwIfAborted();
  }
}
