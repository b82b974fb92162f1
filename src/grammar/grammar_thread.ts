// One thread for grammars as the pool sees it: what it compiles, which generations are matched in
// it, how it ended.

import { HotsetError, RequestError } from "../errors.ts";
import type {
  Failure,
  FromGrammarWorker,
  GrammarInfo,
  GrammarSource,
  GrammarWorker,
  Masks,
  TokenTable,
  Told,
} from "./worker_protocol.ts";

/** The thread did not start: grammars are compiled on the main thread. */
export class NoThread extends HotsetError {}

/** A generation whose matcher is in a thread. */
export interface MatcherClient {
  take(found: Masks): void;
  /** The matcher failed permanently. */
  fail(error: Error): void;
  /** The thread is gone, through no fault of this matcher: it may continue in another one. */
  move(): void;
}

export interface GrammarThreadOptions {
  readonly tokens: TokenTable;
  readonly stops: readonly number[];
  /** Most bytes that the library may use. */
  readonly memory: number;
  readonly deadlineMs: number;
}

interface Compiling {
  readonly grammar: number;
  readonly resolve: (info: GrammarInfo) => void;
  readonly reject: (error: Error) => void;
}

/** A thread that uses this share of its memory compiles nothing more. */
const FULL = 0.75;
/** Timeout for the start of a thread. */
const START_MS = 120_000;

export class GrammarThread {
  readonly ready: Promise<void>;
  readonly #worker: GrammarWorker;
  readonly #options: GrammarThreadOptions;
  readonly #onEnd: (thread: GrammarThread) => void;
  readonly #matched = new Map<number, MatcherClient>();
  /** Grammars that are compiled here, by the pool's key. */
  readonly keys = new Map<string, number>();
  #compiling: Compiling | null = null;
  /** Reserved for a compilation; set by the pool. */
  reserved = false;
  /** Compiles nothing more. */
  full = false;
  /** Why it is gone; null while it runs. */
  ended: Error | null = null;
  #start: { readonly resolve: () => void; readonly reject: (error: Error) => void } | null = null;
  #next = 0;

  /** @param onEnd called once, when the thread is gone */
  constructor(start: () => GrammarWorker, options: GrammarThreadOptions, onEnd: (thread: GrammarThread) => void) {
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
    this.ready.catch(() => {}); // reported to those that compile
    this.#worker.onMessage((message) => this.#take(message));
    this.#worker.onEnd((why, full) => this.#end(why, full));
    const { tokens, stops, memory } = options;
    this.#worker.post({ type: "open", tokens, stops, memory });
  }

  get matching(): number {
    return this.#matched.size;
  }

  /**
   * @throws RequestError for a bad source, or one that takes too long or too much memory;
   * HotsetError if the thread ends
   */
  async compile(source: GrammarSource): Promise<{ readonly grammar: number; readonly info: GrammarInfo }> {
    await this.ready;
    if (this.ended) throw this.ended;
    const grammar = this.#next++;
    const { deadlineMs } = this.#options;
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      const info = await new Promise<GrammarInfo>((resolve, reject) => {
        this.#compiling = { grammar, resolve, reject };
        timer = setTimeout(() => this.stop(tooLong(source, deadlineMs)), deadlineMs);
        this.#worker.post({ type: "compile", grammar, source });
      });
      return { grammar, info };
    } catch (error) {
      if (error instanceof Full) throw tooLarge(source, this.#options.memory);
      throw error;
    } finally {
      clearTimeout(timer);
      this.#compiling = null;
    }
  }

  drop(grammar: number): void {
    if (!this.ended) this.#worker.post({ type: "drop", grammar });
  }

  /** Creates a matcher in a grammar, after the tokens `ids`; returns its number. */
  begin(grammar: number, ids: readonly number[], matched: MatcherClient): number {
    const matcher = this.#next++;
    this.#matched.set(matcher, matched);
    this.#worker.post({ type: "begin", matcher, grammar, ids });
    return matcher;
  }

  accept(matcher: number, told: Told): void {
    if (!this.ended) this.#worker.post({ type: "accept", matcher, told });
  }

  endMatching(matcher: number): void {
    if (!this.#matched.delete(matcher) || this.ended) return;
    this.#worker.post({ type: "end", matcher });
    if (this.full && this.#matched.size === 0) this.stop(new HotsetError("the thread for grammars was full"));
  }

  /** Whether it compiles now: masks wait meanwhile. */
  get compiling(): boolean {
    return this.#compiling !== null;
  }

  /** Ends the thread. The current compilation fails with the error; matchers move. */
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
        if (this.#compiling?.grammar === message.grammar) this.#compiling.resolve(message.info);
        return;
      case "refused":
        if (this.#compiling?.grammar !== message.grammar) return;
        if (message.full) this.stop(new Full(message.failure.message));
        else this.#compiling.reject(errorOf(message.failure));
        return;
      case "masks":
        this.#matched.get(message.matcher)?.take(message.found);
        return;
      case "failed":
        this.#matched.get(message.matcher)?.fail(errorOf(message.failure));
    }
  }
}

/** The thread reached its limit of memory. */
class Full extends HotsetError {}

export function errorOf({ request, message }: Failure): Error {
  return request ? new RequestError(message) : new HotsetError(message);
}

/** Compiling costs too much: the same source need not be tried again. */
export class TooCostly extends RequestError {}

function tooLong({ kind }: GrammarSource, deadlineMs: number): Error {
  return new TooCostly(
    `${kind}: compiling it took longer than the deadline of ${deadlineMs / 1000} s; use fewer alternatives, shorter lengths and counts, or fewer different patterns`,
  );
}

function tooLarge({ kind }: GrammarSource, memory: number): Error {
  return new TooCostly(
    `${kind}: compiling it needs more than the limit of ${Math.round(memory / 2 ** 20)} MiB of memory; use fewer alternatives, shorter lengths and counts, or fewer different patterns`,
  );
}
