// A stream: one generation whose tokens are chosen on the backend, computed ahead of the consumer that reads them.
//
// The stepper computes and a session reads; between them lie the ids that have arrived and nobody has asked for yet. Each
// side has its own end of the sequence. Example, prompt of 5, DEPTH 3, and a consumer that has taken two ids:
//   sequence.length 6 (5 + the first id)     what the consumer knows to be in the cache
//   position        8, ids waiting 2         what has arrived
//   inFlight        1                        submitted, its id not here yet: the consumer is 3 ahead, so no more of it

import { type Chooser, type ChooserSettings, UNDECIDED } from "../backend/ops.ts";
import { abortReason, RequestError } from "../errors.ts";
import { type Claim, GivenUp } from "./claim.ts";
import type { Sampler } from "./sampler.ts";
import type { Work } from "./work.ts";

/**
 * Steps that run or wait on the backend beyond the token that the consumer waits for. Two hide the way of an id to the host
 * and of the next step's commands to the backend as long as that takes less than a step; the third is for the jitter of
 * an event loop that others use too. More would only be more to throw away at a stop.
 * (models/tales on llvmpipe, against 3: 0.60 of the speed at depth 0, 0.89 at 1, 0.97 at 6; medians of 25 alternating runs.)
 */
export const DEPTH = 3;

export interface StreamOptions {
  readonly sequence: Claim;
  /** To be computed first, at `sequence.length` on: at least one token. */
  readonly tokens: readonly number[];
  readonly sampler: Sampler;
  /** Ids to choose at most. Positions up to sequence.length + tokens.length + most - 1 are used. */
  readonly most: number;
  /** Whether nothing follows this id. */
  readonly ends: (id: number) => boolean;
  readonly signal?: AbortSignal | undefined;
}

interface Ask {
  readonly resolve: (id: number) => void;
  readonly reject: (error: unknown) => void;
}

export class Stream implements Work {
  readonly wanted = "last";
  readonly sequence: Claim;
  /** To compute next: the first tokens, then always the last id that has arrived. */
  tokens: readonly number[];
  /** Of tokens[0]. */
  position: number;
  /** Steps submitted whose ids have not arrived. */
  inFlight = 0;
  /** Set by the stepper while this stream is part of what it computes: its blocks must stay. */
  stepping = false;
  /** Set while it waits for its place in a step. */
  queued = false;
  chooser: Chooser | null;
  /** The backend could not decide: the host chooses the next token, from logits. */
  byHost = false;
  readonly #sampler: Sampler;
  readonly #ends: (id: number) => boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #wake: () => void;
  readonly #onAbort: () => void;
  readonly #ids: number[] = []; // arrived, not taken
  #left: number; // ids that may still arrive
  #take: number; // positions that the next id taken adds to the sequence
  #ask: Ask | null = null;
  #error: { readonly reason: unknown } | null = null;
  #over = false;
  #suspended = false;
  #stopped: Promise<void> | null = null;
  #gone: (() => void) | null = null;

  /** @param wake called whenever the consumer did something that may be a reason to compute, or to stop */
  constructor(options: StreamOptions, chooser: Chooser, wake: () => void) {
    this.sequence = options.sequence;
    this.tokens = options.tokens;
    this.position = options.sequence.length;
    this.chooser = chooser;
    this.#sampler = options.sampler;
    this.#ends = options.ends;
    this.#left = options.most;
    this.#take = options.tokens.length;
    this.#wake = wake;
    this.#signal = options.signal;
    this.#onAbort = () => this.cancel(abortReason(options.signal!));
    if (options.signal?.aborted) this.fail(abortReason(options.signal));
    else options.signal?.addEventListener("abort", this.#onAbort);
  }

  // ---- the consumer's side -------------------------------------------------------------------------------------

  /**
   * The next id; `sequence.length` then covers every token before it. One call at a time. Rejects with GivenUp where the
   * sequence lost its blocks and all that had been chosen by then was given: another stream can go on from there.
   */
  next(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#ask = { resolve, reject };
      this.#answer();
      this.#wake();
    });
  }

  /**
   * Ends the stream and forgets what ran ahead. Resolves when nothing of it runs any more and its sequence has given back
   * what it does not need. Safe to call twice, and the only way to an end: also after the last id, and after an error.
   */
  stop(): Promise<void> {
    this.#stopped ??= new Promise((resolve) => {
      this.#gone = resolve;
      this.#over = true;
      this.#signal?.removeEventListener("abort", this.#onAbort);
      this.#wake();
    });
    return this.#stopped;
  }

  /** Rejects the consumer at once, whatever has arrived for it. */
  cancel(error: unknown): void {
    this.#ids.length = 0;
    this.fail(error);
    this.#wake();
  }

  // ---- the stepper's side --------------------------------------------------------------------------------------

  /** No step is wanted any more. */
  get over(): boolean {
    return this.#over;
  }

  /** The consumer is done with it: nothing but giving back is left. */
  get stopped(): boolean {
    return this.#gone !== null;
  }

  /** Positions that its sequence may come to use. */
  get limit(): number {
    return this.position + this.tokens.length + this.#left - 1;
  }

  /** Whether a token may follow those in flight, as far as the generation goes. */
  get goesOn(): boolean {
    return !this.#over && !this.byHost && this.#left > this.inFlight;
  }

  /** Whether the consumer is close enough behind for one more step. */
  get hasRoom(): boolean {
    return this.#ids.length + this.inFlight - (this.#ask ? 1 : 0) < DEPTH;
  }

  /**
   * Whether it should have a place in a step that is being put together. Not as soon as there is room for one more: a
   * consumer a little slower than the others would have them drain for each of its tokens.
   */
  get ready(): boolean {
    return !this.#over && this.inFlight === 0 && this.#left > 0 && this.#ids.length <= DEPTH / 2;
  }

  /** What a chooser has to know to go on from here. */
  settings(): ChooserSettings {
    return this.#sampler.chooser();
  }

  /** The id of the oldest step in flight has arrived. */
  arrived(id: number): void {
    if (this.#over || this.byHost) return; // ran ahead of its end
    if (id === UNDECIDED) {
      // The last token is computed once more, for its logits; its keys and values are there already.
      this.position += this.tokens.length - 1;
      this.tokens = this.tokens.slice(-1);
      this.byHost = true;
      return;
    }
    this.#sampler.accept(id);
    this.#put(id);
  }

  /** The host's turn: chooses from logits [V]. The chooser knows nothing of that, so the next one is made afresh. */
  done(logits: Float32Array): void {
    if (this.#over) return;
    this.release();
    this.byHost = false;
    try {
      this.#put(this.#sampler.next(logits));
    } catch (error) {
      this.fail(error);
    }
  }

  /** Ends the stream with an error, after what has arrived. */
  fail(error: unknown): void {
    this.#over = true;
    this.#error ??= { reason: error };
    this.#answer();
  }

  /** The sequence's blocks are others' now: what has arrived is still given, then the stream is over. */
  suspend(): void {
    this.release();
    this.#suspended = true;
    this.fail(new GivenUp());
  }

  /** Closes the chooser. */
  release(): void {
    this.chooser?.close();
    this.chooser = null;
  }

  /** Tells the consumer who stopped it that nothing of it is left. */
  gone(): void {
    this.#gone?.();
  }

  #put(id: number): void {
    this.position += this.tokens.length;
    this.tokens = [id];
    this.#left--;
    if (this.#ends(id)) this.#over = true;
    this.#ids.push(id);
    this.#answer();
  }

  #answer(): void {
    const ask = this.#ask;
    if (ask === null) return;
    const id = this.#ids.shift();
    if (id !== undefined) {
      this.#ask = null;
      if (!this.#suspended) this.sequence.length += this.#take;
      this.#take = 1;
      ask.resolve(id);
    } else if (this.#over) {
      this.#ask = null;
      ask.reject(this.#error ? this.#error.reason : new RequestError("the generation is over"));
    }
  }
}
