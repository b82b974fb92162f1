// The page's side of the messages: calls that wait for their answer, and streams that are read.

import { onAbort } from "../abort.ts";
import { abortReason, HotsetError, RequestError } from "../errors.ts";
import { errorOf, type Failure } from "./failure.ts";
import type { Calls, EngineWorker, FromEngine, Streams, ToEngine, Tokens } from "./protocol.ts";
import { WINDOW } from "./protocol.ts";

/** What a call or a stream that runs does with its messages. */
interface Waiting {
  item?(item: unknown): void;
  warnings?(warnings: readonly string[]): void;
  turn?(): void;
  result?(value: unknown): void;
  /** Ends what computes, as the engine itself would be ended by what the page's function throws. */
  interrupt?(error: Error): void;
  ended(error: Error | null, tokens: Tokens | null): void;
}

/** What a stream's caller hears of beside its items. */
export interface Listener {
  readonly signal?: AbortSignal | undefined;
  readonly onWarnings?: ((warnings: readonly string[]) => void) | undefined;
  readonly onTurn?: (() => void) | undefined;
  /** How a generation has changed its session. */
  readonly onTokens?: (tokens: Tokens) => void;
}

export class Link {
  readonly #worker: EngineWorker<unknown>;
  readonly #waiting = new Map<number, Waiting>();
  #count = 0;
  #over: Error | null = null;

  /** The caller has received "opened". */
  constructor(worker: EngineWorker<unknown>) {
    this.#worker = worker;
  }

  /** Why nothing can be asked any more; null: the engine runs. */
  get over(): Error | null {
    return this.#over;
  }

  /** Ends the worker; all that waits, and all that is asked later, rejects with `error`. */
  end(error: Error): void {
    if (this.#over) return;
    this.#over = error;
    this.#worker.stop();
    for (const waiting of [...this.#waiting.values()]) waiting.ended(error, null);
    this.#waiting.clear();
  }

  /** Ends all that computes with what a function of the page's has thrown. */
  interrupt(error: unknown): void {
    for (const waiting of [...this.#waiting.values()]) waiting.interrupt?.(asError(error));
  }

  take(message: FromEngine): void {
    if (!("id" in message)) return;
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return;
    switch (message.type) {
      case "item":
        waiting.item?.(message.item);
        break;
      case "warnings":
      case "turn":
        try {
          if (message.type === "turn") waiting.turn?.();
          else waiting.warnings?.(message.warnings);
        } catch (error) {
          waiting.interrupt?.(asError(error));
        }
        break;
      case "result":
        this.#waiting.delete(message.id);
        waiting.result?.(message.value);
        break;
      case "ended":
        this.#waiting.delete(message.id);
        waiting.ended(thrown(message.failure), message.tokens);
    }
  }

  /** @throws what the call throws in the worker; the reason of the signal */
  async call<Name extends keyof Calls>(
    name: Name,
    args: Parameters<Calls[Name]>,
    signal?: AbortSignal,
  ): Promise<ReturnType<Calls[Name]>> {
    signal?.throwIfAborted();
    const id = ++this.#count;
    const stop = (): void => this.#worker.post({ type: "stop", id });
    const stay = onAbort(signal, stop);
    const computes = name === "logits" || name === "embed";
    try {
      return await new Promise<ReturnType<Calls[Name]>>((resolve, reject) => {
        this.#ask(
          id,
          { type: "call", id, name, args } as ToEngine,
          {
            result: (value) => resolve(value as ReturnType<Calls[Name]>),
            ...(computes && {
              interrupt(error) {
                reject(error);
                stop();
              },
            }),
            ended: (error) => reject(error ?? new HotsetError("the worker sent no answer")),
          },
          name,
        );
      });
    } catch (error) {
      throw signal?.aborted && !this.#over ? abortReason(signal) : error;
    } finally {
      stay();
    }
  }

  /**
   * Reads a stream as it is asked for: the worker waits where WINDOW items are unread.
   * @throws what the stream throws in the worker; the reason of the signal
   */
  async *stream<Name extends keyof Streams>(
    name: Name,
    args: Parameters<Streams[Name]>,
    { signal, onWarnings, onTurn, onTokens }: Listener,
  ): AsyncGenerator<ReturnType<Streams[Name]>> {
    signal?.throwIfAborted();
    const id = ++this.#count;
    const items: unknown[] = [];
    let end: { readonly error: Error | null } | null = null;
    let interrupted: Error | null = null;
    let wake = (): void => {};
    const stop = (): void => this.#worker.post({ type: "stop", id });
    const more = (): Promise<void> =>
      new Promise((resolve) => {
        wake = resolve;
      });
    this.#ask(
      id,
      { type: "stream", id, name, args } as ToEngine,
      {
        item(item) {
          items.push(item);
          wake();
        },
        ...(onWarnings && { warnings: onWarnings }),
        ...(onTurn && { turn: onTurn }),
        ...(name !== "experts" && {
          interrupt(error) {
            interrupted ??= error;
            stop();
          },
        }),
        ended(error, tokens) {
          if (tokens) onTokens?.(tokens);
          end = { error: interrupted ?? error };
          wake();
        },
      },
      name,
    );
    const stay = onAbort(signal, stop);
    let taken = 0;
    try {
      for (;;) {
        while (items.length > 0) {
          yield items.shift() as ReturnType<Streams[Name]>;
          if (++taken < WINDOW / 2) continue;
          this.#worker.post({ type: "more", id, count: taken });
          taken = 0;
        }
        const ended = end as { readonly error: Error | null } | null;
        if (ended === null) {
          await more();
          continue;
        }
        if (signal?.aborted && !this.#over) throw abortReason(signal);
        if (ended.error) throw ended.error;
        return;
      }
    } finally {
      stay();
      // The reader has left: what the stream holds is free before the reader goes on.
      if (end === null && !this.#over) {
        stop();
        while (end === null) await more();
      }
    }
  }

  closeSession(session: number): void {
    if (!this.#over) this.#worker.post({ type: "closeSession", session });
  }

  /** @throws RequestError for options that cannot be sent; why the engine has ended */
  #ask(id: number, message: ToEngine, waiting: Waiting, name: string): void {
    if (this.#over) throw this.#over;
    post(this.#worker, message, name);
    this.#waiting.set(id, waiting);
  }
}

/** @throws RequestError where something in the message is a function, or the like */
export function post(
  worker: EngineWorker<unknown>,
  message: ToEngine,
  what: string,
  transfer: readonly Transferable[] = [],
): void {
  try {
    worker.post(message, transfer);
  } catch (error) {
    throw new RequestError(`${what}: an argument cannot be sent to the worker: ${(error as Error).message}`);
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

function thrown(failure: Failure | null): Error | null {
  return failure && errorOf(failure);
}
