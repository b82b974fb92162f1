// The worker's entry in Node.

import { parentPort } from "node:worker_threads";
import { createWorker, type WorkerMessage } from "./worker.ts";

const take = createWorker((failure) => parentPort?.postMessage(failure));
parentPort?.on("message", (message: WorkerMessage) => take(message));
