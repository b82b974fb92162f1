// Starts a thread for grammars in a page.

import type { FromGrammarWorker, GrammarWorker } from "./worker_protocol.ts";

export function startWebGrammarWorker(): GrammarWorker {
  const worker = new Worker(new URL("./web_grammar_worker.js", import.meta.url), { type: "module" });
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (take) =>
      worker.addEventListener("message", (event: MessageEvent<FromGrammarWorker>) => take(event.data)),
    onEnd: (ended) =>
      worker.addEventListener("error", (event) => ended(event.message || "its script could not be loaded", false)),
    stop: () => worker.terminate(),
  };
}
