// The threads for grammars: each compilation has a deadline and a limit of memory, and a thread that exceeds one is ended.

import { BusyError, RequestError } from "../errors.ts";
import { turn } from "../turn.ts";
import type { Tokens } from "./grammars.ts";
import { Seat, TooCostly } from "./seat.ts";
import type { About, Asked, GrammarWorker, TokenTable } from "./worker_messages.ts";

export interface ThreadedOptions {
  /** Starts a thread. */
  readonly start: () => GrammarWorker;
  /** How long one grammar may be compiled. */
  readonly deadlineMs?: number;
  /** Bytes that the library may hold in one thread. */
  readonly memory?: number;
}

const DEADLINE_MS = 10_000;
const MEMORY = 512 * 2 ** 20;
/** Compiled grammars that are kept for the next request, and characters of what was asked for them. */
const KEPT = 64;
const KEPT_TEXT = 16 * 2 ** 20;
/** Grammars that cost too much and are refused at once for a while. */
const REFUSED = 64;
const REFUSED_MS = 60_000;
/** Threads. A grammar is compiled where no generation waits for masks, as long as there is such a one. */
const SEATS = 3;
const COMPILING = 2;
/** Requests that may wait for a thread. */
const WAITING = 64;
export interface Home {
  readonly seat: Seat;
  readonly grammar: number;
  readonly about: About;
}

export class Pool {
  readonly #options: ThreadedOptions;
  readonly #tokenizer: Tokens;
  readonly #vocabSize: number;
  readonly stops: readonly number[];
  readonly #kept = new Map<string, Promise<Home>>();
  readonly #refused = new Map<string, { readonly error: Error; readonly until: number }>();
  readonly #seats = new Set<Seat>();
  readonly #waiting: { readonly resolve: (seat: Seat) => void; readonly reject: (error: Error) => void }[] = [];
  #tokens: Promise<TokenTable> | null = null;
  #table: TokenTable | null = null;
  #closed = false;
  /** Threads can be had: if one does not start now, that is an error. */
  started = false;

  constructor(tokenizer: Tokens, vocabSize: number, stops: readonly number[], options: ThreadedOptions) {
    this.#tokenizer = tokenizer;
    this.#vocabSize = vocabSize;
    this.stops = stops;
    this.#options = options;
  }

  /** Where a grammar is compiled: once for equal texts. */
  home(asked: Asked): Promise<Home> {
    const key = `${asked.kind} ${asked.text}`;
    const known = this.#kept.get(key);
    if (known) {
      this.#kept.delete(key);
      this.#kept.set(key, known);
      return known;
    }
    const refused = this.#refused.get(key);
    if (refused && refused.until > performance.now()) return Promise.reject(refused.error);
    const made = this.#compile(key, asked);
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
        .then(({ seat, grammar }) => {
          seat.keys.delete(key);
          seat.drop(grammar);
        })
        .catch(() => {});
    }
  }

  async #compile(key: string, asked: Asked): Promise<Home> {
    this.#tokens ??= tokenTable(this.#tokenizer, this.#vocabSize);
    this.#table ??= await this.#tokens;
    const seat = await this.#takeSeat();
    try {
      await seat.ready;
      this.started = true;
      const { grammar, about } = await seat.compile(asked);
      seat.keys.set(key, grammar);
      return { seat, grammar, about };
    } finally {
      seat.taken = false;
      this.#pass();
    }
  }

  /** A thread to compile in, in the order of asking. */
  #takeSeat(): Promise<Seat> {
    if (this.#waiting.length >= WAITING)
      return Promise.reject(new BusyError(`${WAITING} schemas wait to be compiled; try again in a moment`));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#pass();
    });
  }

  #pass(): void {
    while (this.#waiting.length > 0) {
      let seat: Seat | null;
      try {
        if (this.#closed) throw new RequestError("the model is closed");
        seat = this.#free();
      } catch (error) {
        this.#waiting.shift()!.reject(error as Error);
        continue;
      }
      if (!seat) return;
      seat.taken = true;
      this.#waiting.shift()!.resolve(seat);
    }
  }

  #free(): Seat | null {
    const seats = [...this.#seats].filter((seat) => !seat.full);
    const free = seats.filter((seat) => !seat.taken).sort((a, b) => a.matching - b.matching);
    if (seats.length - free.length >= COMPILING) return null;
    if (free[0]?.matching === 0 || (free[0] && seats.length >= SEATS)) return free[0];
    if (seats.length >= SEATS) return null;
    const { start, deadlineMs = DEADLINE_MS, memory = MEMORY } = this.#options;
    const options = { tokens: this.#table!, stops: this.stops, memory, deadlineMs };
    const seat = new Seat(start, options, (ended) => {
      this.#seats.delete(ended);
      for (const key of ended.keys.keys()) this.#kept.delete(key);
      this.#pass();
    });
    this.#seats.add(seat);
    return seat;
  }

  get deadlineMs(): number {
    return this.#options.deadlineMs ?? DEADLINE_MS;
  }

  /** A living thread where it is compiled; again, if the one that it was in is gone. */
  async living(asked: Asked): Promise<Home> {
    for (;;) {
      if (this.#closed) throw new RequestError("the model is closed");
      const home = await this.home(asked);
      if (!home.seat.ended) return home;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const error = new RequestError("the model is closed");
    for (const seat of [...this.#seats]) seat.stop(error);
    this.#kept.clear();
    this.#pass();
  }
}

/** Tokens whose bytes are looked up before the event loop has its turn. */
const TOKENS_A_TURN = 8192;

/** A token without bytes is never allowed: so are control tokens, and ids beyond the tokenizer's. */
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
