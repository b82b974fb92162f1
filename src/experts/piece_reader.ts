// Reads records in pieces, several at a time: one record alone keeps the disk and more than one thread busy, and of two the
// first is there while the second is on its way.

import type { StoredBytes } from "../tensor/types.ts";

/** Bytes of a piece: a disk needs no larger ones, and what became urgent comes soon. */
const PIECE = 16 * 2 ** 20;
/**
 * Pieces that are asked for at once. A platform reads about four at a time; the others wait in front of it, because the step's thread,
 * which asks for the next ones, may be busy computing for as long as some take.
 */
const MOST = 8;

export interface ReadHow {
  readonly signal: AbortSignal;
  /** Whether somebody waits for it by now: others come later. */
  readonly urgent: () => boolean;
  /** Past the system's page cache. */
  readonly bypass: boolean;
}

interface Job {
  readonly from: StoredBytes;
  readonly into: Uint8Array;
  readonly how: ReadHow;
  /** Bytes that were asked for, and pieces of them that have not come. */
  asked: number;
  pending: number;
  failure: { readonly error: unknown } | null;
  readonly done: (failure: { readonly error: unknown } | null) => void;
}

export class PieceReader {
  readonly #piece: number;
  readonly #most: number;
  /** Jobs that have pieces left to ask for, oldest first. */
  readonly #waiting: Job[] = [];
  #pending = 0;

  constructor({ piece = PIECE, most = MOST }: { readonly piece?: number; readonly most?: number } = {}) {
    this.#piece = piece;
    this.#most = most;
  }

  /**
   * Fills `into` from the beginning of `from`. Records come one after the other, those that are urgent when a piece is asked for
   * before all others. Nothing is written to `into` after the promise is settled.
   * @throws WeightsError, the signal's reason
   */
  read(from: StoredBytes, into: Uint8Array, how: ReadHow): Promise<void> {
    return new Promise((resolve, reject) => {
      const done: Job["done"] = (failure) => (failure ? reject(failure.error) : resolve());
      this.#waiting.push({ from, into, how, asked: 0, pending: 0, failure: null, done });
      this.#ask();
    });
  }

  #ask(): void {
    while (this.#pending < this.#most) {
      const job = this.#waiting.find(({ how }) => how.urgent()) ?? this.#waiting[0];
      if (!job) return;
      const begin = job.asked;
      job.asked = Math.min(begin + this.#piece, job.into.length);
      if (job.asked === job.into.length) this.#leave(job);
      void this.#get(job, begin, job.asked);
    }
  }

  async #get(job: Job, begin: number, end: number): Promise<void> {
    job.pending++;
    this.#pending++;
    const { signal, bypass } = job.how;
    try {
      await job.from.read(begin, job.into.subarray(begin, end), signal, bypass);
    } catch (error) {
      job.failure ??= { error };
      this.#leave(job);
    }
    job.pending--;
    this.#pending--;
    if (job.pending === 0 && !this.#waiting.includes(job)) job.done(job.failure);
    this.#ask();
  }

  /** No more pieces of it are asked for. */
  #leave(job: Job): void {
    const at = this.#waiting.indexOf(job);
    if (at >= 0) this.#waiting.splice(at, 1);
  }
}
