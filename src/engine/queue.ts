// Who may generate now, and who waits: a bounded queue in order of arrival.

import { abortReason, BusyError, RequestError } from "../errors.ts";

export interface QueueOptions {
  /** Generations at once. */
  readonly parallel: number;
  /** Requests that may wait. */
  readonly queue: number;
}

export interface Queue {
  readonly running: number;
  readonly queued: number;
  /**
   * Resolves when it is one's turn, with what is to be called once one is done.
   * @throws BusyError at once where the queue is full; the signal's reason, also while waiting; RequestError after close()
   */
  enter(signal?: AbortSignal): Promise<() => void>;
  /** Refuses those who wait and who come. */
  close(): void;
}

export function createQueue({ parallel, queue }: QueueOptions): Queue {
  const waiting: { readonly begin: () => void; readonly refuse: (error: Error) => void }[] = [];
  let running = 0;
  let closed = false;

  /** A turn that has begun: its end is the beginning of another, once. */
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
