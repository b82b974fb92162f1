// The threads for grammars. Each compilation has a deadline and a limit of memory; a thread that
// exceeds one is ended.

import { BusyError, RequestError } from "../errors.ts";
import { turn } from "../turn.ts";
import { GrammarThread, TooCostly } from "./grammar_thread.ts";
import type { Tokens } from "./grammars.ts";
import type { GrammarInfo, GrammarSource, GrammarWorker, TokenTable } from "./worker_protocol.ts";

export interface ThreadedOptions {
  /** Starts a thread. */
  readonly start: () => GrammarWorker;
  /** How long compiling one grammar may take. */
  readonly deadlineMs?: number;
  /** Bytes that the library may use in one thread. */
  readonly memory?: number;
}

const DEADLINE_MS = 10_000;
const MEMORY = 512 * 2 ** 20;
/** Compiled grammars that are kept for later requests, and the characters of their sources. */
const KEPT = 64;
const KEPT_TEXT = 16 * 2 ** 20;
/** Sources that cost too much, and are rejected at once for a while. */
const REFUSED = 64;
const REFUSED_MS = 60_000;
/**
 * Most threads, and most of them that compile. A grammar is compiled where no generation waits for
 * masks, if possible.
 */
const THREADS = 3;
const COMPILING = 2;
/** Most requests that wait for a thread. */
const WAITING = 64;

/** A compiled grammar, and the thread that it is in. */
export interface Compiled {
  readonly thread: GrammarThread;
  readonly grammar: number;
  readonly info: GrammarInfo;
}

export class ThreadPool {
  readonly #options: ThreadedOptions;
  readonly tokenizer: Tokens;
  readonly #vocabSize: number;
  readonly stops: readonly number[];
  readonly #kept = new Map<string, Promise<Compiled>>();
  readonly #refused = new Map<string, { readonly error: Error; readonly until: number }>();
  readonly #threads = new Set<GrammarThread>();
  readonly #waiting: { readonly resolve: (thread: GrammarThread) => void; readonly reject: (error: Error) => void }[] =
    [];
  #tokens: Promise<TokenTable> | null = null;
  #table: TokenTable | null = null;
  #closed = false;
  /** A thread has started: if another one does not, that is an error. */
  started = false;

  constructor(tokenizer: Tokens, vocabSize: number, stops: readonly number[], options: ThreadedOptions) {
    this.tokenizer = tokenizer;
    this.#vocabSize = vocabSize;
    this.stops = stops;
    this.#options = options;
  }

  /** The compiled grammar of a source; equal sources are compiled once. */
  compiled(source: GrammarSource): Promise<Compiled> {
    const key = `${source.kind} ${source.text}`;
    const known = this.#kept.get(key);
    if (known) {
      this.#kept.delete(key);
      this.#kept.set(key, known);
      return known;
    }
    const refused = this.#refused.get(key);
    if (refused && refused.until > performance.now()) return Promise.reject(refused.error);
    const made = this.#compile(key, source);
    this.#kept.set(key, made);
    made.catch((error: Error) => {
      if (this.#kept.get(key) === made) this.#kept.delete(key);
      if (!(error instanceof TooCostly)) return;
      this.#refused.delete(key);
      this.#refused.set(key, { error, until: performance.now() + REFUSED_MS });
      if (this.#refused.size > REFUSED) this.#refused.delete(this.#refused.keys().next().value!);
    });
    this.#evict();
    return made;
  }

  #evict(): void {
    let text = 0;
    for (const key of this.#kept.keys()) text += key.length;
    for (const [key, made] of this.#kept) {
      if ((this.#kept.size <= KEPT && text <= KEPT_TEXT) || this.#kept.size === 1) return;
      this.#kept.delete(key);
      text -= key.length;
      made
        .then(({ thread, grammar }) => {
          thread.keys.delete(key);
          thread.drop(grammar);
        })
        .catch(() => {});
    }
  }

  async #compile(key: string, source: GrammarSource): Promise<Compiled> {
    this.#tokens ??= tokenTable(this.tokenizer, this.#vocabSize);
    this.#table ??= await this.#tokens;
    const thread = await this.#takeThread();
    try {
      await thread.ready;
      this.started = true;
      const { grammar, info } = await thread.compile(source);
      thread.keys.set(key, grammar);
      return { thread, grammar, info };
    } finally {
      thread.reserved = false;
      this.#pass();
    }
  }

  /** Waits for a thread to compile in: first come, first served. */
  #takeThread(): Promise<GrammarThread> {
    if (this.#waiting.length >= WAITING)
      return Promise.reject(new BusyError(`${WAITING} schemas wait to be compiled; try again in a moment`));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#pass();
    });
  }

  #pass(): void {
    while (this.#waiting.length > 0) {
      let thread: GrammarThread | null;
      try {
        if (this.#closed) throw new RequestError("the model is closed");
        thread = this.#free();
      } catch (error) {
        this.#waiting.shift()!.reject(error as Error);
        continue;
      }
      if (!thread) return;
      thread.reserved = true;
      this.#waiting.shift()!.resolve(thread);
    }
  }

  #free(): GrammarThread | null {
    const threads = [...this.#threads].filter((thread) => !thread.full);
    const free = threads.filter((thread) => !thread.reserved).sort((a, b) => a.matching - b.matching);
    if (threads.length - free.length >= COMPILING) return null;
    if (free[0]?.matching === 0 || (free[0] && threads.length >= THREADS)) return free[0];
    if (threads.length >= THREADS) return null;
    const { start, deadlineMs = DEADLINE_MS, memory = MEMORY } = this.#options;
    const options = { tokens: this.#table!, stops: this.stops, memory, deadlineMs };
    const thread = new GrammarThread(start, options, (ended) => {
      this.#threads.delete(ended);
      for (const key of ended.keys.keys()) this.#kept.delete(key);
      this.#pass();
    });
    this.#threads.add(thread);
    return thread;
  }

  get deadlineMs(): number {
    return this.#options.deadlineMs ?? DEADLINE_MS;
  }

  /** As compiled(), in a thread that still runs: compiles again if the earlier one is gone. */
  async inLivingThread(source: GrammarSource): Promise<Compiled> {
    for (;;) {
      if (this.#closed) throw new RequestError("the model is closed");
      const compiled = await this.compiled(source);
      if (!compiled.thread.ended) return compiled;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const error = new RequestError("the model is closed");
    for (const thread of [...this.#threads]) thread.stop(error);
    this.#kept.clear();
    this.#pass();
  }
}

/** Tokens whose bytes are looked up before the event loop gets a turn. */
const TOKENS_A_TURN = 8192;

/**
 * Tokens without bytes are never allowed: control tokens and ids beyond the tokenizer's get none.
 */
async function tokenTable(tokenizer: Tokens, vocabSize: number): Promise<TokenTable> {
  const ends = new Uint32Array(vocabSize);
  let bytes = new Uint8Array(1 << 16);
  let size = 0;
  for (let id = 0; id < vocabSize; id++) {
    if (id % TOKENS_A_TURN === TOKENS_A_TURN - 1) await turn();
    if (id < tokenizer.vocabSize && !tokenizer.isSpecial(id)) {
      const own = tokenizer.tokenBytes(id);
      if (size + own.length > bytes.length) {
        const larger = new Uint8Array(2 * (size + own.length));
        larger.set(bytes.subarray(0, size));
        bytes = larger;
      }
      bytes.set(own, size);
      size += own.length;
    }
    ends[id] = size;
  }
  return { bytes: bytes.slice(0, size), ends };
}
