// Reads records in pieces, several at a time: a single record keeps the disk and several threads
// busy, and of two records the first is complete while the second is still being read.

import { onAbort } from "../abort.ts";
import type { StoredBytes } from "../tensor/types.ts";

/** Bytes of a piece: large enough for a disk, small enough that an urgent read starts soon. */
const PIECE = 16 * 2 ** 20;
/**
 * Pieces in flight. A platform reads about four at a time. The others queue, because the step's
 * thread, which starts reads, may be computing while several of them finish.
 */
const MOST = 8;
/**
 * The same of records that no step waits for, at least, and what a disk reads in so many
 * milliseconds: it is busy while the thread that asks for more computes, and soon free for others.
 */
const AHEAD = 2;
const AHEAD_MS = 20;
/** Pieces that tell the disk's speed, and the part of it that the last ones count. */
const RATED = 4;
const NEWER = 0.3;

export interface ReadHow {
  readonly signal: AbortSignal;
  /** Whether a step waits for the record now: it goes before prefetches. */
  readonly urgent: () => boolean;
  /** Read past the operating system's page cache. */
  readonly bypass: boolean;
  /** Told of bytes as they are asked of the disk. */
  readonly asks?: ((bytes: number) => void) | undefined;
}

interface Job {
  readonly from: StoredBytes;
  readonly into: Uint8Array;
  readonly how: ReadHow;
  /** Bytes that were requested so far, and pieces of them that have not arrived. */
  asked: number;
  pending: number;
  failure: { readonly error: unknown } | null;
  readonly done: (failure: { readonly error: unknown } | null) => void;
}

export interface PieceReaderOptions {
  /** Bytes of a piece, and the most in flight. */
  readonly piece?: number;
  readonly most?: number;
  /** Milliseconds. */
  readonly clock?: () => number;
}

export class PieceReader {
  readonly #piece: number;
  readonly #most: number;
  /** Jobs with pieces that were not requested yet, oldest first. */
  readonly #waiting: Job[] = [];
  /** In flight: pieces, and bytes of them. */
  #pending = 0;
  #bytes = 0;
  /** Bytes a millisecond, as measured; 0: not yet. */
  #rate = 0;
  /** Bytes that have come since then. */
  #come = 0;
  #since = 0;
  readonly #clock: () => number;

  constructor({ piece = PIECE, most = MOST, clock = () => performance.now() }: PieceReaderOptions = {}) {
    this.#piece = piece;
    this.#most = most;
    this.#clock = clock;
  }

  /**
   * Fills `into` from the start of `from`. Records are read in order, urgent ones first. Nothing is
   * written to `into` after the promise has settled.
   * @throws WeightsError, the signal's reason
   */
  read(from: StoredBytes, into: Uint8Array, how: ReadHow): Promise<void> {
    return new Promise((resolve, reject) => {
      const job: Job = { from, into, how, asked: 0, pending: 0, failure: null, done };
      const stay = onAbort(how.signal, () => this.#giveUp(job));
      function done(failure: Job["failure"]): void {
        stay();
        if (failure) reject(failure.error);
        else resolve();
      }
      this.#waiting.push(job);
      this.#ask();
    });
  }

  #ask(): void {
    for (;;) {
      const urgent = this.#waiting.find(({ how }) => how.urgent());
      const job = urgent ?? this.#waiting[0];
      if (!job || this.#pending >= this.#most) return;
      const ahead = Math.max(AHEAD * this.#piece, AHEAD_MS * this.#rate);
      if (!urgent && this.#bytes > ahead - this.#piece) return;
      const begin = job.asked;
      job.asked = Math.min(begin + this.#piece, job.into.length);
      if (job.asked === job.into.length) this.#leave(job);
      void this.#get(job, begin, job.asked);
    }
  }

  async #get(job: Job, begin: number, end: number): Promise<void> {
    job.pending++;
    if (this.#pending++ === 0) [this.#come, this.#since] = [0, this.#clock()];
    this.#bytes += end - begin;
    const { signal, bypass, asks } = job.how;
    asks?.(end - begin);
    try {
      await job.from.read(begin, job.into.subarray(begin, end), signal, bypass);
    } catch (error) {
      job.failure ??= { error };
      this.#leave(job);
    }
    job.pending--;
    this.#pending--;
    this.#bytes -= end - begin;
    this.#comes(end - begin);
    if (job.pending === 0 && !this.#waiting.includes(job)) job.done(job.failure);
    this.#ask();
  }

  /** Measures the disk's speed, over several pieces in a row. */
  #comes(bytes: number): void {
    this.#come += bytes;
    if (this.#come < RATED * this.#piece) return;
    const ms = this.#clock() - this.#since;
    if (ms > 0) this.#rate = this.#rate === 0 ? this.#come / ms : (1 - NEWER) * this.#rate + NEWER * (this.#come / ms);
    [this.#come, this.#since] = [0, this.#clock()];
  }

  /** A record that is not wanted any more: its pieces in flight arrive. */
  #giveUp(job: Job): void {
    if (!this.#waiting.includes(job)) return;
    job.failure ??= { error: job.how.signal.reason };
    this.#leave(job);
    if (job.pending === 0) job.done(job.failure);
  }

  /** Requests no more pieces of a job. */
  #leave(job: Job): void {
    const at = this.#waiting.indexOf(job);
    if (at >= 0) this.#waiting.splice(at, 1);
  }
}
