// Lets the event loop run within a step: the CPU backend computes on the caller's thread, and a
// long step may take seconds.
//
// Work is divided into slices of at most SLICE_MS, whatever the matrix and the number of tokens.
// Between two slices the event loop runs if its last turn was long ago; other threads continue
// meanwhile. A slice is a range of a kernel's units, so sums do not depend on the slices.

import { abortReason } from "../../errors.ts";
import { turn } from "../../turn.ts";
import type { Job } from "./control.ts";
import type { BoundKernels } from "./heap.ts";
import type { Pool } from "./pool.ts";

/** The most time of a slice, and the time after which a step lets the event loop run. */
const SLICE_MS = 20;
const DUE_MS = 25;
/** The same between two jobs, when other threads have no work and may fall asleep. */
const LATE_MS = 40;
/** A request needs several turns: a connection is accepted, then read, then answered. */
const TURNS = 3;
/** Work that is too small to divide, in multiply-adds. */
const SMALL = 8e6;
/** The initial rate, in multiply-adds a millisecond: that of a slow machine. */
const SLOW = 1e6;

/** Tells when the event loop should run within a step, and lets it. */
export class Yielder {
  #last = 0;

  /** Starts a step; the event loop ran just before. */
  begin(): void {
    this.#last = performance.now();
  }

  /** Whether the event loop should run now. */
  get due(): boolean {
    return performance.now() - this.#last >= DUE_MS;
  }

  /** The same between two jobs. */
  get late(): boolean {
    return performance.now() - this.#last >= LATE_MS;
  }

  /** Lets the event loop run. */
  async yield(): Promise<void> {
    for (let i = 0; i < TURNS; i++) await turn();
    this.begin();
  }
}

/**
 * The verbs of a step that are not computed yet: computed in order when moe() or read() needs them.
 */
export class Pending {
  readonly #yielder = new Yielder();
  readonly #alive: () => void;
  #works: (() => Iterable<void> | void)[] = [];
  #signal: AbortSignal | undefined;

  /** @param alive throws if the backend is closed or has failed */
  constructor(alive: () => void) {
    this.#alive = alive;
  }

  /** Starts a step, and drops what a failed one has left. */
  begin(signal: AbortSignal | undefined): void {
    this.#works = [];
    this.#signal = signal;
    this.#yielder.begin();
  }

  push(work: () => Iterable<void> | void): void {
    this.#works.push(work);
  }

  /**
   * Computes all pending verbs. @throws the signal's reason, or errors of `alive`: the rest is then
   * not computed
   */
  async catchUp(): Promise<void> {
    const works = this.#works;
    this.#works = [];
    for (const work of works) {
      const slices = work();
      if (slices) await this.spread(slices);
      if (this.#yielder.late) await this.pause();
    }
  }

  /** Computes slices now, and lets the event loop run in between. @throws as catchUp() */
  async spread(slices: Iterable<void>): Promise<void> {
    for (const _ of slices) if (this.#yielder.due) await this.pause();
  }

  /** Lets the event loop run; an abort may then end the step. */
  async pause(): Promise<void> {
    await this.#yielder.yield();
    this.#alive();
    if (this.#signal?.aborted) throw abortReason(this.#signal);
  }

  /** Whether to call pause() between two jobs. */
  get late(): boolean {
    return this.#yielder.late;
  }
}

/** Divides jobs into slices by the measured rate of jobs of their kind. */
export class Slices {
  readonly #pool: Pool;
  readonly #rates = new Map<string, number>(); // multiply-adds a millisecond of the calling thread

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /**
   * Like pool.run(), with `macs` multiply-adds a unit; yields between slices while
   * other threads continue. What is one slice even for one thread is not divided.
   */
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
    // the first argument of a product is its arithmetic; units of more work mostly have more rows,
    // which a weight is read once for
    const kind = `${job} ${bound.module} ${args[0]} ${Math.clz32(macs)}`;
    const known = this.#rates.get(kind);
    if (known !== undefined && units * macs <= SLICE_MS * known) {
      const began = performance.now();
      this.#pool.run(job, bound, units, grain, ...args);
      if (performance.now() - began > DUE_MS) this.#rates.delete(kind); // measure it again
      return;
    }
    const rate = known ?? SLOW;
    const most = grain * Math.max(1, Math.floor((SLICE_MS * rate) / (macs * grain)));
    const piece = Math.min(most, this.#pool.piece(units, grain));
    let quickest = Number.POSITIVE_INFINITY; // a piece may be interrupted by other programs
    let last = Number.POSITIVE_INFINITY; // may be a short one
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
