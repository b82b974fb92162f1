// Starts a thread for grammars in Node.

import { Worker } from "node:worker_threads";
import type { FromGrammarWorker, GrammarWorker } from "./worker_protocol.ts";

/** Heap limit of our own part of compiling. The library's memory has its own limit. */
const HEAP_MB = 512;

export function startNodeGrammarWorker(): GrammarWorker {
  // Without the process's own options: a worker rejects some of them, such as the --input-type of a
  // script given by -e.
  const worker = new Worker(new URL("./node_grammar_worker.js", import.meta.url), {
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  });
  return {
    post: (message) => worker.postMessage(message),
    onMessage(take) {
      worker.on("message", (message: FromGrammarWorker) => take(message));
      worker.unref(); // a listener would keep the process alive for a model that was never closed
    },
    onEnd(ended) {
      worker.on("error", (error: NodeJS.ErrnoException) =>
        ended(error.message, error.code === "ERR_WORKER_OUT_OF_MEMORY"),
      );
      worker.on("exit", (code) => ended(`it ended with exit code ${code}`, false));
    },
    stop: () => void worker.terminate(),
  };
}
