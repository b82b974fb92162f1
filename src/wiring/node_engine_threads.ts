// Starts the worker that has the engine in Node.

import { Worker } from "node:worker_threads";
import type { EngineWorker, FromEngine } from "../worker/protocol.ts";

export function startNodeEngine(): EngineWorker<string> {
  // Without the process's own options: a worker rejects some of them, such as the --input-type of a
  // script given by -e.
  const worker = new Worker(new URL("./node_engine_worker.js", import.meta.url), { execArgv: [] });
  return {
    post: (message, transfer = []) => worker.postMessage(message, [...transfer] as ArrayBuffer[]),
    onMessage: (take) => void worker.on("message", (message: FromEngine) => take(message)),
    onEnd(ended) {
      worker.on("error", ({ message }) => ended(message));
      worker.on("exit", (code) => ended(`it ended with exit code ${code}`));
    },
    stop: () => void worker.terminate(),
  };
}
