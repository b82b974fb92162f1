// Turns of the event loop within a step: the CPU backend computes on the caller's thread, and a long step may take seconds.
//
// Work is divided into slices that take SLICE_MS at most, whatever the matrix and the number of tokens, and between two of
// them the loop has its turn if its last one was long ago; other threads go on meanwhile. A slice is a range of a kernel's
// units: sums are the same as in one piece.

import { abortReason } from "../../errors.ts";
import { turn } from "../../turn.ts";
import type { Job } from "./control.ts";
import type { BoundKernels } from "./heap.ts";
import type { Pool } from "./pool.ts";

/** How long a slice may take, and after how long a step lets the event loop run: their sum is the longest wait. */
const SLICE_MS = 20;
const DUE_MS = 25;
/** The same between two jobs, where other threads have nothing to do meanwhile, and may fall asleep. */
const LATE_MS = 40;
/** A request needs several turns: a connection is accepted, then read, then answered. */
const TURNS = 3;
/** Multiply-adds that are not worth dividing, nor a look at the clock. */
const SMALL = 8e6;
/** Multiply-adds a millisecond, before anything was measured: of the slowest machine. */
const SLOW = 1e6;

export class Breath {
  #last = 0;

  /** A step begins: the loop had its turn just before. */
  begin(): void {
    this.#last = performance.now();
  }

  /** Whether the event loop has waited for long enough. */
  get due(): boolean {
    return performance.now() - this.#last >= DUE_MS;
  }

  /** Whether it has, even between two jobs. */
  get late(): boolean {
    return performance.now() - this.#last >= LATE_MS;
  }

  /** Lets the event loop run. */
  async take(): Promise<void> {
    for (let i = 0; i < TURNS; i++) await turn();
    this.begin();
  }
}

/** What the verbs of a step have asked for: computed in order when somebody waits for it. */
export class Pending {
  readonly #breath = new Breath();
  readonly #alive: () => void;
  #works: (() => Iterable<void> | void)[] = [];
  #signal: AbortSignal | undefined;

  /** @param alive throws where there is nothing to compute with any more */
  constructor(alive: () => void) {
    this.#alive = alive;
  }

  /** A step begins; what a failed one has left is forgotten. */
  begin(signal: AbortSignal | undefined): void {
    this.#works = [];
    this.#signal = signal;
    this.#breath.begin();
  }

  push(work: () => Iterable<void> | void): void {
    this.#works.push(work);
  }

  /** Computes all that was asked for. @throws the signal's reason, and what `alive` throws: the rest is not computed then */
  async catchUp(): Promise<void> {
    const works = this.#works;
    this.#works = [];
    for (const work of works) {
      const slices = work();
      if (slices) await this.spread(slices);
      if (this.#breath.late) await this.pause();
    }
  }

  /** Computes slices now, and lets the event loop run in between. @throws as catchUp() */
  async spread(slices: Iterable<void>): Promise<void> {
    for (const _ of slices) if (this.#breath.due) await this.pause();
  }

  /** The event loop has its turn; what it brings may end the step. */
  async pause(): Promise<void> {
    await this.#breath.take();
    this.#alive();
    if (this.#signal?.aborted) throw abortReason(this.#signal);
  }

  /** Whether pause() is called for between two jobs. */
  get late(): boolean {
    return this.#breath.late;
  }
}

/** Jobs in slices, by how quickly jobs of their kind went before. */
export class Slices {
  readonly #pool: Pool;
  readonly #rates = new Map<string, number>(); // multiply-adds a millisecond of the calling thread

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** Runs a job as pool.run() does, `macs` multiply-adds a unit, and yields between slices: other threads do not wait. */
  *run(
    job: Job,
    bound: BoundKernels,
    units: number,
    grain: number,
    macs: number,
    args: readonly number[],
  ): Generator<void> {
    if (units <= grain || units * macs <= SMALL) {
      this.#pool.run(job, bound, units, grain, ...args);
      return;
    }
    const kind = `${job} ${bound.module} ${args[0]}`; // the first argument of a product is its arithmetic
    const rate = this.#rates.get(kind) ?? SLOW;
    const most = grain * Math.max(1, Math.floor((SLICE_MS * rate) / (macs * grain)));
    const piece = Math.min(most, this.#pool.piece(units, grain));
    let quickest = Number.POSITIVE_INFINITY; // a piece may be interrupted by other programs
    let last = Number.POSITIVE_INFINITY; // may have been a rest
    let began = performance.now();
    for (const _ of this.#pool.pieces(job, bound, units, piece, args)) {
      quickest = Math.min(quickest, last);
      last = performance.now() - began;
      yield;
      began = performance.now();
    }
    if (quickest < Number.POSITIVE_INFINITY) this.#rates.set(kind, (piece * macs) / Math.max(0.01, quickest));
  }
}
