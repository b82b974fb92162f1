// A bounded queue: which requests may generate now, and which wait, in order of arrival.

import { abortReason, BusyError, RequestError } from "../errors.ts";

export interface QueueOptions {
  /** Most generations at once. */
  readonly parallel: number;
  /** Most requests that wait. */
  readonly queue: number;
}

export interface Queue {
  readonly running: number;
  readonly queued: number;
  /**
   * Waits for a turn. Resolves with a function that the caller must call at the end of it.
   * @throws BusyError at once where the queue is full; the signal's reason, also while waiting;
   * RequestError after close()
   */
  enter(signal?: AbortSignal): Promise<() => void>;
  /** Rejects all requests, waiting and later ones. */
  close(): void;
}

export function createQueue({ parallel, queue }: QueueOptions): Queue {
  const waiting: { readonly begin: () => void; readonly refuse: (error: Error) => void }[] = [];
  let running = 0;
  let closed = false;

  /** Begins a turn. Its end, counted once, begins the next one. */
  function turn(): () => void {
    running++;
    let over = false;
    return () => {
      if (over) return;
      over = true;
      running--;
      waiting.shift()?.begin();
    };
  }

  return {
    get running() {
      return running;
    },
    get queued() {
      return waiting.length;
    },
    async enter(signal) {
      if (closed) throw new RequestError("the model is closed");
      if (signal?.aborted) throw abortReason(signal);
      if (running < parallel) return turn();
      if (waiting.length >= queue) {
        throw new BusyError(
          `${running} answers are being computed and ${waiting.length} requests wait, as many as may; try again in a moment`,
        );
      }
      return new Promise((resolve, reject) => {
        const leave = (): void => {
          const at = waiting.indexOf(entry);
          if (at >= 0) waiting.splice(at, 1);
          reject(abortReason(signal!));
        };
        const entry = {
          begin: () => {
            signal?.removeEventListener("abort", leave);
            resolve(turn());
          },
          refuse: (error: Error) => {
            signal?.removeEventListener("abort", leave);
            reject(error);
          },
        };
        signal?.addEventListener("abort", leave, { once: true });
        waiting.push(entry);
      });
    },
    close() {
      closed = true;
      for (const { refuse } of waiting.splice(0)) refuse(new RequestError("the model is closed"));
    },
  };
}
