// A generation that is matched in a thread, and goes on in another if that one ends.

import { HotsetError, RequestError } from "../errors.ts";
import { onlyThese } from "./grammars.ts";
import type { Matched } from "./seat.ts";
import type { Home, Pool } from "./thread_pool.ts";
import type { Constraint } from "./types.ts";
import type { Asked } from "./worker_messages.ts";

/** How often a generation moves to another thread before it gives up. */
const MOVES = 2;

/** Each mask is on its way from the moment when the token before it was accepted. */
export class ThreadedConstraint implements Constraint, Matched {
  readonly #pool: Pool;
  readonly #asked: Asked;
  readonly #ids: number[] = [];
  #home: Home | null = null;
  #matcher = -1;
  /** The mask behind #ids, once it is there. */
  #mask: Int32Array | null = null;
  #known = false;
  #next = deferred();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failed: Error | null = null;
  #ended = false;
  #closed = false;
  #moves = 0;
  #beginning = false;

  constructor(pool: Pool, asked: Asked) {
    this.#pool = pool;
    this.#asked = asked;
  }

  get ended(): boolean {
    return !this.#closed && this.#ended;
  }

  /** Goes on in a thread, behind what was accepted so far. */
  async begin(): Promise<void> {
    this.#beginning = true;
    try {
      const home = await this.#pool.living(this.#asked);
      if (this.#closed) return;
      this.#home = home;
      this.#matcher = home.seat.begin(home.grammar, this.#ids, this);
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
    // Without a mask the thread finds out, and the next mask says so.
    if (this.#known && this.#mask !== null && !((this.#mask[id >> 5] ?? 0) & (1 << (id & 31))))
      throw new RequestError(`the grammar does not allow token ${id} here`);
    this.#ids.push(id);
    this.#ended = this.#pool.stops.includes(id);
    if (this.#known) this.#next = deferred();
    this.#known = false;
    this.#mask = null;
    if (this.#home) {
      this.#home.seat.accept(this.#matcher, id);
      this.#watch();
    } else this.#resume();
  }

  take(count: number, mask: Int32Array | null): void {
    if (count !== this.#ids.length) return; // more was accepted meanwhile
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
    this.#home = null;
    if (!this.#known) this.#resume(); // else the next token does
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
    this.#home?.seat.endMatching(this.#matcher);
  }

  /** A mask that does not come: the thread is ended, unless it is compiling, which has its own deadline. */
  #watch(): void {
    clearTimeout(this.#timer);
    const { seat } = this.#home ?? {};
    if (!seat || this.#ended) return;
    this.#timer = setTimeout(() => {
      if (seat.compiling) this.#watch();
      else {
        this.fail(new HotsetError(`the mask of the next token took longer than ${this.#pool.deadlineMs / 1000} s`));
        seat.stop(new HotsetError("the thread for grammars did not answer"));
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
  promise.catch(() => {}); // told to whoever asks for the mask
  return { promise, resolve, reject };
}
