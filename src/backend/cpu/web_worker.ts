// The worker's entry in a page.

import { createWorker, type WorkerMessage } from "./worker.ts";

/** The first message: the script runs. */
postMessage(null);
const take = createWorker((failure) => postMessage(failure));
addEventListener("message", (event: MessageEvent<WorkerMessage>) => take(event.data));
