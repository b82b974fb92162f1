// Threads in a page: guesses the cores and starts workers.

import type { PoolWorker } from "./pool.ts";
import { WORKER } from "./web_worker_text.ts";
import type { WorkerMessage } from "./worker.ts";

/** A page knows only hardware threads; from eight on, usually two share a core. */
export function likelyCores(): number {
  const logical = globalThis.navigator?.hardwareConcurrency ?? 1;
  return logical < 8 ? logical : Math.floor(logical / 2);
}

const UNLOADED =
  "no worker could be started: let the page's Content-Security-Policy allow workers from blob:, or serve web_worker.js beside the other scripts, with the header cross-origin-embedder-policy: require-corp (or choose threads: 1)";

/**
 * The worker's script as text, so that it exists however the page was bundled; its URL
 * is created once.
 */
let address: string | null = null;
export function textThread(): Worker {
  address ??= URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" }));
  return new Worker(address);
}

/** @param possible ways to start the script, the best first: the page's policy may forbid some */
export function startWebWorker(possible: readonly (() => Worker)[]): PoolWorker {
  const ways = [...possible];
  const posted: WorkerMessage[] = []; // until it runs: another worker may be needed
  let worker: Worker | null = null;
  let runs = false;
  let tell: (reason: string, started: boolean) => void = () => {};
  const start = (): void => {
    worker?.terminate();
    worker = null;
    const way = ways.shift();
    if (!way) {
      queueMicrotask(() => tell(UNLOADED, false));
      return;
    }
    try {
      const made = way();
      worker = made;
      made.addEventListener("message", ({ data }: MessageEvent<string | null>) => {
        if (data !== null) tell(data, true);
        runs = true;
        posted.length = 0;
      });
      made.addEventListener("error", (event) => {
        event.preventDefault();
        if (runs) tell(event.message || "it failed without a reason", true);
        else if (made === worker) start();
      });
      for (const message of posted) made.postMessage(message);
    } catch {
      start(); // the page's policy may forbid this way
    }
  };
  start();
  return {
    post(message) {
      if (!runs) posted.push(message);
      worker?.postMessage(message);
    },
    onEnd(ended) {
      tell = ended;
    },
    stop() {
      ways.length = 0;
      tell = () => {};
      worker?.terminate();
    },
  };
}
