// One thread for grammars as seen from outside: what it is compiling, which generations are matched in it, how it ended.

import { HotsetError, RequestError } from "../errors.ts";
import type { About, Asked, Failure, FromGrammarWorker, GrammarWorker, TokenTable } from "./worker_messages.ts";

/** The thread did not start: grammars are compiled elsewhere. */
export class NoThread extends HotsetError {}

/** A generation that is matched in a thread. */
export interface Matched {
  /** The mask after `count` tokens has come. */
  take(count: number, mask: Int32Array | null): void;
  /** It cannot go on. */
  fail(error: Error): void;
  /** The thread is gone, and not by its fault: it may go on in another. */
  move(): void;
}

export interface SeatOptions {
  readonly tokens: TokenTable;
  readonly stops: readonly number[];
  /** Most bytes that the library may hold. */
  readonly memory: number;
  readonly deadlineMs: number;
}

interface Compiling {
  readonly grammar: number;
  readonly resolve: (about: About) => void;
  readonly reject: (error: Error) => void;
}

/** A thread that holds so much of its memory compiles nothing more. */
const FULL = 0.75;
/** A thread that has not started by then never will. */
const START_MS = 120_000;

export class Seat {
  readonly ready: Promise<void>;
  readonly #worker: GrammarWorker;
  readonly #options: SeatOptions;
  readonly #onEnd: (seat: Seat) => void;
  readonly #matched = new Map<number, Matched>();
  /** What is compiled here, by the key of whoever asked. */
  readonly keys = new Map<string, number>();
  #compiling: Compiling | null = null;
  /** Kept for who compiles next; set by the one who chooses it. */
  taken = false;
  /** Nothing more is compiled here. */
  full = false;
  /** Why it is gone. */
  ended: Error | null = null;
  #start: { readonly resolve: () => void; readonly reject: (error: Error) => void } | null = null;
  #next = 0;

  /** @param onEnd called once, when the thread is gone */
  constructor(start: () => GrammarWorker, options: SeatOptions, onEnd: (seat: Seat) => void) {
    this.#options = options;
    this.#onEnd = onEnd;
    try {
      this.#worker = start();
    } catch (error) {
      throw new NoThread(String(error));
    }
    this.ready = new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#end("it did not start", false), START_MS);
      this.#start = {
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
    });
    this.ready.catch(() => {}); // told to those who compile
    this.#worker.onMessage((message) => this.#take(message));
    this.#worker.onEnd((why, full) => this.#end(why, full));
    const { tokens, stops, memory } = options;
    this.#worker.post({ type: "open", tokens, stops, memory });
  }

  get matching(): number {
    return this.#matched.size;
  }

  /** @throws RequestError for what is wrong with it, or takes too long or too much memory; HotsetError if the thread ends */
  async compile(asked: Asked): Promise<{ readonly grammar: number; readonly about: About }> {
    await this.ready;
    if (this.ended) throw this.ended;
    const grammar = this.#next++;
    const { deadlineMs } = this.#options;
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      const about = await new Promise<About>((resolve, reject) => {
        this.#compiling = { grammar, resolve, reject };
        timer = setTimeout(() => this.stop(tooLong(asked, deadlineMs)), deadlineMs);
        this.#worker.post({ type: "compile", grammar, asked });
      });
      return { grammar, about };
    } catch (error) {
      if (error instanceof Full) throw tooLarge(asked, this.#options.memory);
      throw error;
    } finally {
      clearTimeout(timer);
      this.#compiling = null;
    }
  }

  drop(grammar: number): void {
    if (!this.ended) this.#worker.post({ type: "drop", grammar });
  }

  /** Begins a generation's way through a grammar, behind `ids`; its number. */
  begin(grammar: number, ids: readonly number[], matched: Matched): number {
    const matcher = this.#next++;
    this.#matched.set(matcher, matched);
    this.#worker.post({ type: "begin", matcher, grammar, ids });
    return matcher;
  }

  accept(matcher: number, id: number): void {
    if (!this.ended) this.#worker.post({ type: "accept", matcher, id });
  }

  endMatching(matcher: number): void {
    if (!this.#matched.delete(matcher) || this.ended) return;
    this.#worker.post({ type: "end", matcher });
    if (this.full && this.#matched.size === 0) this.stop(new HotsetError("the thread for grammars was full"));
  }

  /** Whether it is compiling now: masks wait meanwhile. */
  get compiling(): boolean {
    return this.#compiling !== null;
  }

  /** Ends the thread. What it is compiling fails with the error; generations move. */
  stop(error: Error): void {
    if (this.ended) return;
    this.ended = error;
    this.#worker.stop();
    this.#start?.reject(error);
    this.#compiling?.reject(error);
    this.#onEnd(this);
    const matched = [...this.#matched.values()];
    this.#matched.clear();
    for (const one of matched) one.move();
  }

  #end(why: string, full: boolean): void {
    const error = new HotsetError(`the thread for grammars ended: ${why}`);
    this.stop(this.#start ? new NoThread(error.message) : full ? new Full(error.message) : error);
  }

  #take(message: FromGrammarWorker): void {
    if (this.ended) return;
    switch (message.type) {
      case "ready":
        this.#start?.resolve();
        this.#start = null;
        return;
      case "compiled":
        if (message.bytes > FULL * this.#options.memory) this.full = true;
        if (this.#compiling?.grammar === message.grammar) this.#compiling.resolve(message.about);
        return;
      case "refused":
        if (this.#compiling?.grammar !== message.grammar) return;
        if (message.full) this.stop(new Full(message.failure.message));
        else this.#compiling.reject(errorOf(message.failure));
        return;
      case "mask":
        this.#matched.get(message.matcher)?.take(message.count, message.mask);
        return;
      case "failed":
        this.#matched.get(message.matcher)?.fail(errorOf(message.failure));
    }
  }
}

/** The limit of memory was met. */
class Full extends HotsetError {}

function errorOf({ request, message }: Failure): Error {
  return request ? new RequestError(message) : new HotsetError(message);
}

/** A request that is refused for what compiling it costs: the same again need not be tried. */
export class TooCostly extends RequestError {}

function tooLong({ kind }: Asked, deadlineMs: number): Error {
  return new TooCostly(
    `${kind}: compiling it took longer than the deadline of ${deadlineMs / 1000} s; use fewer alternatives, shorter lengths and counts, or fewer different patterns`,
  );
}

function tooLarge({ kind }: Asked, memory: number): Error {
  return new TooCostly(
    `${kind}: compiling it needs more than the limit of ${Math.round(memory / 2 ** 20)} MiB of memory; use fewer alternatives, shorter lengths and counts, or fewer different patterns`,
  );
}
