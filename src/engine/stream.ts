// A stream: one generation whose tokens are chosen on the backend, computed ahead of the consumer
// that reads them.
//
// The stepper computes and a session reads; between them are ids that have arrived and are not read
// yet. Each side has its own end of the sequence. Example, prompt of 5, DEPTH 3, and a consumer
// that has taken two ids:
//   sequence.length 6 (5 + the first id)  what the consumer knows to be in the cache
//   position        8, 2 ids waiting      what has arrived
//   inFlight        1                     submitted, without its id: no further step, because the
//                                         consumer is 3 behind

import { onAbort } from "../abort.ts";
import { type Chooser, type ChooserSettings, UNDECIDED } from "../backend/ops.ts";
import { abortReason, RequestError } from "../errors.ts";
import { type Claim, Evicted } from "./claim.ts";
import { DEPTH } from "./depth.ts";
import type { Sampler } from "./sampler.ts";
import type { Work } from "./work.ts";

export interface StreamOptions {
  readonly sequence: Claim;
  /** Computed first, from `sequence.length` on: at least one token. */
  readonly tokens: readonly number[];
  readonly sampler: Sampler;
  /** Most ids to choose. Positions up to sequence.length + tokens.length + most - 1 are used. */
  readonly most: number;
  /** Whether the generation ends with this id. */
  readonly ends: (id: number) => boolean;
  /**
   * Of a sequence with states, which cannot go back: no step goes beyond a position that is a
   * multiple of this before the consumer has come there and kept them (states.ts).
   */
  readonly edge?: number | undefined;
  /** Called with the ms that a step has taken where steps followed each other without a pause. */
  readonly took?: ((ms: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Where the stream is in the stepper's loop:
 *
 *   idle --queue()--> queued --join()--> stepping --leave()--> idle
 *
 * While it is stepping, its blocks must stay: steps in flight write to them.
 */
type Place = "idle" | "queued" | "stepping";

/**
 * How the next token comes about:
 *
 *   backend --UNDECIDED arrives, or equip() finds no chooser--> host --done()--> backend
 *   (with states, UNDECIDED: over, and the session computes the last token again)
 *   backend, host --an end id, fail(), evict(), halt(), stop()--> over
 */
type Phase =
  /** The backend chooses, and may run ahead. */
  | { readonly name: "backend" }
  /** The host chooses, from the logits of the last token. */
  | { readonly name: "host" }
  | Over;

/** No further step is wanted. */
interface Over {
  readonly name: "over";
  /** What the consumer gets after the ids that have arrived; null: it has asked for too many. */
  readonly error: { readonly reason: unknown } | null;
  /** Its blocks are gone: ids that are still taken no longer lengthen the sequence. */
  readonly evicted: boolean;
  /** Set once the consumer has stopped it: only its resources are left to free. */
  readonly stopped: { readonly promise: Promise<void>; readonly resolve: () => void } | null;
}

/**
 * What a stream of a sequence with states ends with where the host has to choose: they have gone
 * beyond the token whose logits it needs.
 */
export class Undecided extends Error {
  override readonly name = "Undecided";
}

/** What a stream ends with that was halted, after the ids of the steps in flight. */
export class Halted extends Error {
  override readonly name = "Halted";
}

/** Ids that arrive one after the other over which the time of a step is taken. */
const TIMED = 4;

interface Ask {
  readonly resolve: (id: number) => void;
  readonly reject: (error: unknown) => void;
}

export class Stream implements Work {
  readonly wanted = "last";
  readonly sequence: Claim;
  /** To compute next: the first tokens, then always the last id that has arrived. */
  tokens: readonly number[];
  /** Position of tokens[0]. */
  position: number;
  /** Steps submitted whose ids have not arrived. */
  inFlight = 0;
  #place: Place = "idle";
  #phase: Phase = { name: "backend" };
  #chooser: Chooser | null;
  readonly #sampler: Sampler;
  readonly #ends: (id: number) => boolean;
  readonly #edge: number | undefined;
  readonly #wake: () => void;
  readonly #took: ((ms: number) => void) | undefined;
  /** When the last ids arrived between which the device was never without a step. */
  #arrivals: number[] = [];
  #halted = false;
  #stay: () => void = () => {};
  readonly #ids: number[] = []; // arrived, not taken
  #left: number; // ids that may still arrive
  #take: number; // positions that the next id taken adds to the sequence
  #ask: Ask | null = null;

  /**
   * @param wake called whenever the consumer did something that may be a reason to compute, or to
   * stop
   */
  constructor(options: StreamOptions, chooser: Chooser, wake: () => void) {
    this.sequence = options.sequence;
    this.tokens = options.tokens;
    this.position = options.sequence.length;
    this.#chooser = chooser;
    this.#sampler = options.sampler;
    this.#ends = options.ends;
    this.#edge = options.edge;
    this.#took = options.took;
    this.#left = options.most;
    this.#take = options.tokens.length;
    this.#wake = wake;
    if (options.signal?.aborted) this.fail(abortReason(options.signal));
    else this.#stay = onAbort(options.signal, () => this.cancel(abortReason(options.signal!)));
  }

  // ---- the consumer's side ----------------------------------------------------------------------

  /**
   * The next id; `sequence.length` then covers every token before it. One call at a time. Rejects
   * with Evicted where the sequence lost its blocks and every id chosen before that was given:
   * another stream can continue from there.
   */
  next(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#ask = { resolve, reject };
      this.#answer();
      this.#wake();
    });
  }

  /**
   * Ends the stream and forgets what ran ahead. Resolves when nothing of it runs any more and its
   * sequence has given back the blocks that it does not need. Safe to call twice, and always
   * necessary: also after the last id, and after an error.
   */
  stop(): Promise<void> {
    if (this.#phase.name === "over" && this.#phase.stopped) return this.#phase.stopped.promise;
    let resolve = (): void => {};
    const promise = new Promise<void>((done) => {
      resolve = done;
    });
    this.#end({ stopped: { promise, resolve } });
    this.#stay();
    this.#wake();
    return promise;
  }

  /** No step follows those in flight, whose ids still come; then next() rejects with Halted. */
  halt(): void {
    this.#halted = true;
    if (!this.stepping) this.fail(new Halted());
    this.#wake();
  }

  /** Rejects the consumer at once, whatever has arrived for it. */
  cancel(error: unknown): void {
    this.#ids.length = 0;
    this.fail(error);
    this.#wake();
  }

  // ---- the stepper's side: where it is ----------------------------------------------------------

  /** It waits for its place in a step. */
  queue(): void {
    this.#place = "queued";
  }

  /** It is part of the step that is put together. */
  join(): void {
    this.#place = "stepping";
  }

  /** The step, and those that followed it, are over. */
  leave(): void {
    this.#place = "idle";
    if (this.#halted) this.fail(new Halted());
  }

  get stepping(): boolean {
    return this.#place === "stepping";
  }

  // ---- the stepper's side: what it needs --------------------------------------------------------

  /** No step is wanted any more. */
  get over(): boolean {
    return this.#phase.name === "over";
  }

  /** The consumer is done with it: only its resources are left to free. */
  get stopped(): boolean {
    return this.#phase.name === "over" && this.#phase.stopped !== null;
  }

  /** The host chooses the next token: it needs logits. */
  get needsLogits(): boolean {
    return this.#phase.name === "host";
  }

  /** Most positions that its sequence may use. */
  get limit(): number {
    return this.position + this.tokens.length + this.#left - 1;
  }

  /** Whether a token may follow those in flight, as far as the generation goes. */
  get goesOn(): boolean {
    return this.#phase.name === "backend" && this.#left > this.inFlight && !this.#halted && !this.#atEdge;
  }

  /** Whether the next step has to wait until the consumer has taken all ids before it. */
  get #atEdge(): boolean {
    if (this.#edge === undefined || (this.position + this.inFlight) % this.#edge !== 0) return false;
    return this.inFlight > 0 || this.#ids.length > 0 || this.#ask === null;
  }

  /** Whether the consumer is close enough behind for one more step. */
  get hasRoom(): boolean {
    return this.#ids.length + this.inFlight - (this.#ask ? 1 : 0) < DEPTH;
  }

  /**
   * Whether it should join a step that is being put together. Not as soon as there is room
   * for one more: a consumer a little slower than the others would drain the pipeline for
   * each of its tokens.
   */
  get ready(): boolean {
    return !this.over && this.inFlight === 0 && this.#left > 0 && this.#ids.length <= DEPTH / 2 && !this.#atEdge;
  }

  /** Whether the stepper should queue it. */
  get wantsStep(): boolean {
    return this.#place === "idle" && this.ready;
  }

  /** The chooser of a stream that was equipped. */
  get chooser(): Chooser {
    return this.#chooser!;
  }

  // ---- the stepper's side: transitions ----------------------------------------------------------

  /**
   * Creates the chooser if it has none; the host chooses the next token where the backend cannot
   * have one.
   */
  equip(create: (settings: ChooserSettings) => Chooser | null): void {
    if (this.#chooser !== null) return;
    this.#chooser = create(this.#sampler.chooser());
    if (this.#chooser === null && !this.over) this.#phase = { name: "host" };
  }

  /** The id of the oldest step in flight has arrived. */
  arrived(id: number): void {
    if (this.#phase.name !== "backend") return; // it ran ahead of an end, or of the host
    this.#time();
    if (id === UNDECIDED && this.#edge !== undefined) this.fail(new Undecided());
    else if (id === UNDECIDED) {
      // The last token is computed once more, for its logits; its keys and values
      // are there already.
      this.position += this.tokens.length - 1;
      this.tokens = this.tokens.slice(-1);
      this.#phase = { name: "host" };
    } else {
      this.#sampler.accept(id);
      this.#put(id);
    }
  }

  /** Takes the time of steps between ids that have arrived. */
  #time(): void {
    if (this.#took === undefined) return;
    this.#arrivals.push(performance.now());
    if (this.#arrivals.length > TIMED) {
      this.#took((this.#arrivals.at(-1)! - this.#arrivals[0]!) / TIMED);
      this.#arrivals.shift();
    }
    if (this.inFlight === 0) this.#arrivals = [];
  }

  /**
   * The host chooses from logits [V]. The chooser does not learn of it, so the next one
   * is created afresh.
   */
  done(logits: Float32Array): void {
    if (this.over) return;
    this.release();
    this.#phase = { name: "backend" };
    try {
      this.#put(this.#sampler.next(logits));
    } catch (error) {
      this.fail(error);
    }
  }

  /** Ends the stream with an error, which the consumer gets after the ids that have arrived. */
  fail(error: unknown): void {
    this.#end({ error: { reason: error } });
    this.#answer();
  }

  /**
   * The sequence's blocks were evicted. Ids that have arrived are still given, then the
   * stream is over.
   */
  evict(): void {
    this.release();
    this.#end({ evicted: true });
    this.fail(new Evicted());
  }

  /** Closes the chooser. */
  release(): void {
    this.#chooser?.close();
    this.#chooser = null;
  }

  /** Tells the consumer that stopped it that its resources are free. */
  gone(): void {
    if (this.#phase.name === "over") this.#phase.stopped?.resolve();
  }

  /** The one way to "over": the first error stays. */
  #end(change: Partial<Over>): void {
    const before: Over =
      this.#phase.name === "over" ? this.#phase : { name: "over", error: null, evicted: false, stopped: null };
    this.#phase = { ...before, ...change, error: before.error ?? change.error ?? null };
  }

  #put(id: number): void {
    this.position += this.tokens.length;
    this.tokens = [id];
    this.#left--;
    if (this.#ends(id)) this.#end({});
    this.#ids.push(id);
    this.#answer();
  }

  #answer(): void {
    const ask = this.#ask;
    if (ask === null) return;
    const phase = this.#phase;
    const id = this.#ids.shift();
    if (id !== undefined) {
      this.#ask = null;
      if (phase.name !== "over" || !phase.evicted) this.sequence.length += this.#take;
      this.#take = 1;
      ask.resolve(id);
    } else if (phase.name === "over") {
      this.#ask = null;
      ask.reject(phase.error ? phase.error.reason : new RequestError("the generation is over"));
    }
  }
}
