// The worker's entry in a page.

import { createWorker, type WorkerMessage } from "./worker.ts";

const take = createWorker((failure) => postMessage(failure));
addEventListener("message", (event: MessageEvent<WorkerMessage>) => take(event.data));
