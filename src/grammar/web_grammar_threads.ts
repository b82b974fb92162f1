// A thread for grammars in a page.

import type { FromGrammarWorker, GrammarWorker } from "./worker_protocol.ts";

/** @param start starts its script */
export function startWebGrammarWorker(start: () => Worker): GrammarWorker {
  const worker = start();
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (take) =>
      worker.addEventListener("message", (event: MessageEvent<FromGrammarWorker>) => take(event.data)),
    onEnd: (ended) =>
      worker.addEventListener("error", (event) => ended(event.message || "its script could not be loaded", false)),
    stop: () => worker.terminate(),
  };
}
