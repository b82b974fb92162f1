// Threads in a page: how many cores there may be, and how a worker is started.

import type { PoolWorker } from "./pool.ts";

/** A page learns of hardware threads only; from eight on, mostly two share a core. */
export function likelyCores(): number {
  const logical = globalThis.navigator?.hardwareConcurrency ?? 1;
  return logical < 8 ? logical : Math.floor(logical / 2);
}

const UNLOADED =
  "web_worker.js could not be loaded, which must lie beside the other scripts and be served with the header cross-origin-embedder-policy: require-corp (or choose threads: 1)";

export function startWebWorker(): PoolWorker {
  const worker = new Worker(new URL("./web_worker.js", import.meta.url), { type: "module" });
  return {
    post: (message) => worker.postMessage(message),
    onEnd(ended) {
      worker.addEventListener("message", (event: MessageEvent<string>) => ended(event.data));
      // An error without a message: there is no script, or the page may not run it.
      worker.addEventListener("error", (event) => ended(event.message || UNLOADED));
    },
    stop: () => worker.terminate(),
  };
}
