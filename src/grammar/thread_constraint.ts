// A constraint whose matcher is in a thread; it continues in another one if that thread ends.

import { HotsetError, RequestError } from "../errors.ts";
import type { MatcherClient } from "./grammar_thread.ts";
import { onlyThese } from "./grammars.ts";
import type { Compiled, ThreadPool } from "./thread_pool.ts";
import type { Constraint } from "./types.ts";
import type { GrammarSource } from "./worker_protocol.ts";

/** How often it moves to another thread before it fails. */
const MOVES = 2;

/** Each mask is computed from the moment when the token before it was accepted. */
export class ThreadedConstraint implements Constraint, MatcherClient {
  readonly #pool: ThreadPool;
  readonly #source: GrammarSource;
  readonly #ids: number[] = [];
  #compiled: Compiled | null = null;
  #matcher = -1;
  /** The mask after #ids, once it has arrived. */
  #mask: Int32Array | null = null;
  #known = false;
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
    if (this.#known && this.#mask !== null && !((this.#mask[id >> 5] ?? 0) & (1 << (id & 31))))
      throw new RequestError(`the grammar does not allow token ${id} here`);
    this.#ids.push(id);
    this.#ended = this.#pool.stops.includes(id);
    if (this.#known) this.#next = deferred();
    this.#known = false;
    this.#mask = null;
    if (this.#compiled) {
      this.#compiled.thread.accept(this.#matcher, id);
      this.#watch();
    } else this.#resume();
  }

  take(count: number, mask: Int32Array | null): void {
    if (count !== this.#ids.length) return; // more tokens were accepted meanwhile
    clearTimeout(this.#timer);
    this.#mask = mask;
    this.#known = true;
    this.#next.resolve(mask);
  }

  fail(error: Error): void {
    clearTimeout(this.#timer);
    this.#failed ??= error;
    this.#next.reject(error);
  }

  move(): void {
    clearTimeout(this.#timer);
    this.#compiled = null;
    if (!this.#known) this.#resume(); // otherwise the next token resumes
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
