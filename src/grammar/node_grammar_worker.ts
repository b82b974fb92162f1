// The entry of a thread for grammars in Node.

import { parentPort } from "node:worker_threads";
import { createGrammarService } from "./service.ts";
import type { ToGrammarWorker } from "./worker_protocol.ts";

const take = createGrammarService((message, transfer) => parentPort?.postMessage(message, transfer));
parentPort?.on("message", (message: ToGrammarWorker) => take(message));
