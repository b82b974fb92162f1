// The worker that has the engine in Node.

import { parentPort } from "node:worker_threads";
import { open } from "../index.ts";
import { serveModel } from "../worker/host.ts";
import type { FromEngine, ToEngine } from "../worker/protocol.ts";

const port = parentPort!;
serveModel<string>(
  {
    post: (message: FromEngine, transfer = []) => port.postMessage(message, [...transfer] as ArrayBuffer[]),
    onMessage: (take) => void port.on("message", (message: ToEngine<string>) => take(message)),
  },
  ({ place, tokenizer, options }, watch) =>
    open(place, { ...options, ...watch, ...(tokenizer !== undefined && { tokenizer }) }),
  () => [],
);
