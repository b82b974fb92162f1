// The entry of a thread for grammars in a page.

import { createGrammarService } from "./service.ts";
import type { ToGrammarWorker } from "./worker_protocol.ts";

const take = createGrammarService((message, transfer) => postMessage(message, { transfer }));
addEventListener("message", (event: MessageEvent<ToGrammarWorker>) => take(event.data));
