// A constraint whose matcher is in a thread; it continues in another one if that thread ends.

import { HotsetError, RequestError } from "../errors.ts";
import { errorOf, type MatcherClient } from "./grammar_thread.ts";
import { onlyThese } from "./grammars.ts";
import type { Compiled, ThreadPool } from "./thread_pool.ts";
import type { Constraint } from "./types.ts";
import type { GrammarSource, Masks } from "./worker_protocol.ts";

/** How often it moves to another thread before it fails. */
const MOVES = 2;

/**
 * Each mask is computed from the moment when the token before it was accepted, or expected. The
 * thread's matcher is ahead of this one by expected tokens, which it takes back if others come.
 */
export class ThreadedConstraint implements Constraint, MatcherClient {
  readonly #pool: ThreadPool;
  readonly #source: GrammarSource;
  /** Tokens that were accepted, then those that are expected. */
  readonly #ids: number[] = [];
  #accepted = 0;
  #compiled: Compiled | null = null;
  #matcher = -1;
  /** Masks that have arrived, by the tokens before them: at least the accepted ones. */
  readonly #masks = new Map<number, Int32Array | null>();
  /** What must follow the first `behind` tokens, as bytes; null: nothing is known. */
  #forced: { readonly behind: number; readonly bytes: Uint8Array } | null = null;
  #looksForForced = false;
  /** The mask after the accepted ones. */
  #next = deferred();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failed: Error | null = null;
  #ended = false;
  #closed = false;
  #moves = 0;
  #beginning = false;

  constructor(pool: ThreadPool, source: GrammarSource) {
    this.#pool = pool;
    this.#source = source;
  }

  get ended(): boolean {
    return !this.#closed && this.#ended;
  }

  /** Continues in a thread, after the tokens that were accepted so far. */
  async begin(): Promise<void> {
    this.#beginning = true;
    try {
      const compiled = await this.#pool.inLivingThread(this.#source);
      if (this.#closed) return;
      this.#forget();
      this.#compiled = compiled;
      this.#matcher = compiled.thread.begin(compiled.grammar, this.#ids, this);
      this.#watch();
    } finally {
      this.#beginning = false;
    }
  }

  async mask(): Promise<Int32Array | null> {
    if (this.#closed) throw new RequestError("the constraint is closed");
    if (this.#failed) throw this.#failed;
    return this.#ended ? onlyThese(this.#pool.stops) : this.#next.promise;
  }

  accept(id: number): void {
    if (this.#closed) throw new RequestError("the constraint is closed");
    if (this.#failed) throw this.#failed;
    if (this.#ended) return;
    // Without a mask the thread checks the token, and the next mask rejects.
    const mask = this.#masks.get(this.#accepted) ?? null;
    if (mask !== null && !((mask[id >> 5] ?? 0) & (1 << (id & 31))))
      throw new RequestError(`the grammar does not allow token ${id} here`);
    if (this.#masks.delete(this.#accepted)) this.#next = deferred();
    this.#ended = this.#pool.stops.includes(id);
    const expected = this.#ids[this.#accepted] === id;
    if (!expected) this.#tell([id]);
    this.#accepted++;
    if (this.#masks.has(this.#accepted)) this.#next.resolve(this.#masks.get(this.#accepted)!);
    else if (this.#compiled) this.#watch();
    else this.#resume();
  }

  expect(ids: readonly number[]): void {
    if (this.#compiled === null || this.#closed || this.#failed || this.#ended) return;
    const stop = ids.findIndex((id) => this.#pool.stops.includes(id));
    const expected = stop < 0 ? ids : ids.slice(0, stop); // nothing follows a stop
    if (expected.length > 0) this.#tell(expected);
  }

  forced(): string {
    this.#looksForForced = true;
    const left = this.#left(this.#accepted);
    const within = ((left[0] ?? 0) & 0xc0) === 0x80; // a token ended within a character
    return within ? "" : new TextDecoder().decode(left);
  }

  /** What is known to follow the first `count` tokens. */
  #left(count: number): Uint8Array {
    const none = new Uint8Array(0);
    const { behind, bytes } = this.#forced ?? { behind: count, bytes: none };
    const { tokenizer } = this.#pool;
    let at = 0;
    for (const id of this.#ids.slice(behind, count)) {
      if (id >= tokenizer.vocabSize) return none;
      for (const byte of tokenizer.tokenBytes(id)) if (bytes[at++] !== byte) return none;
    }
    return behind > count ? none : bytes.subarray(at);
  }

  /** The text goes on with `ids` behind the accepted tokens. */
  #tell(ids: readonly number[]): void {
    this.#forget();
    const from = this.#accepted;
    this.#ids.push(...ids);
    const forced = this.#looksForForced && this.#left(this.#ids.length).length === 0;
    this.#compiled?.thread.accept(this.#matcher, { from, ids, forced });
  }

  /** No tokens are expected. */
  #forget(): void {
    this.#cut(this.#accepted);
  }

  #cut(length: number): void {
    for (let count = this.#ids.length; count > length; count--) this.#masks.delete(count);
    this.#ids.length = length;
    if (this.#forced && this.#forced.behind > length) this.#forced = null;
  }

  take({ count, ids, masks, forced, refused }: Masks): void {
    // Other tokens may have come meanwhile.
    const stale = ids.findIndex((id, i) => id !== this.#ids[count - 1 + i]);
    const known = stale < 0 ? masks : masks.slice(0, stale);
    for (const [i, mask] of known.entries()) if (count + i >= this.#accepted) this.#masks.set(count + i, mask);
    const end = count - 1 + masks.length;
    if (forced !== null && stale < 0) this.#forced = { behind: end, bytes: new TextEncoder().encode(forced) };
    if (refused && (stale < 0 || stale > masks.length)) {
      if (end < this.#accepted) this.fail(errorOf(refused));
      else this.#cut(end);
    }
    if (!this.#masks.has(this.#accepted)) return;
    clearTimeout(this.#timer);
    this.#next.resolve(this.#masks.get(this.#accepted)!);
  }

  fail(error: Error): void {
    clearTimeout(this.#timer);
    this.#failed ??= error;
    this.#next.reject(error);
  }

  move(): void {
    clearTimeout(this.#timer);
    this.#compiled = null;
    this.#forget();
    if (!this.#masks.has(this.#accepted)) this.#resume(); // otherwise the next token resumes
  }

  #resume(): void {
    if (this.#beginning || this.#closed || this.#ended || this.#failed) return;
    if (++this.#moves > MOVES) this.fail(new HotsetError("the threads for grammars ended, again and again"));
    else this.begin().catch((error: Error) => this.fail(error));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#compiled?.thread.endMatching(this.#matcher);
  }

  /**
   * Ends the thread if the mask does not arrive, unless it is compiling, which has
   * its own deadline.
   */
  #watch(): void {
    clearTimeout(this.#timer);
    const { thread } = this.#compiled ?? {};
    if (!thread || this.#ended) return;
    this.#timer = setTimeout(() => {
      if (thread.compiling) this.#watch();
      else {
        this.fail(new HotsetError(`the mask of the next token took longer than ${this.#pool.deadlineMs / 1000} s`));
        thread.stop(new HotsetError("the thread for grammars did not answer"));
      }
    }, this.#pool.deadlineMs);
  }
}

function deferred() {
  let resolve!: (mask: Int32Array | null) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<Int32Array | null>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {}); // reported to the caller of mask()
  return { promise, resolve, reject };
}
