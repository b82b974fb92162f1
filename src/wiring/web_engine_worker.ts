// The script of a page's worker that has the engine, and of the threads that it starts: which one
// it is, its name says. One script, so that a page needs only one, as a text or as a file.

import { startWebWorker, textThread } from "../backend/cpu/web_threads.ts";
import { createWorker, type WorkerMessage } from "../backend/cpu/worker.ts";
import type { Model } from "../engine/model_api.ts";
import { createGrammarService } from "../grammar/service.ts";
import { startWebGrammarWorker } from "../grammar/web_grammar_threads.ts";
import type { ToGrammarWorker } from "../grammar/worker_protocol.ts";
import { serveModel } from "../worker/host.ts";
import type { FromEngine, FromScript, ToEngine, ToScript } from "../worker/protocol.ts";
import { filesOf } from "./web_files_port.ts";
import { openWeb, type Place, type SentPlace } from "./web_open.ts";

const THREAD = "hotset thread";
const GRAMMARS = "hotset grammars";

const another = (name: string) => (): Worker => new Worker(location.href, { name });

/** The page ends this worker as soon as the model has closed. */
let closing = false;

/**
 * The worker without a stop of its own where this one ends anyway. Chromium leaves both threads,
 * with all of their memory, where a worker is ended while it ends a worker that it has started.
 */
function endsWithThis<Inner extends { stop(): void }>(worker: Inner): Inner {
  return {
    ...worker,
    stop() {
      if (!closing) worker.stop();
    },
  };
}

/** For people, who see it in the page. */
function warnings(model: Model): readonly string[] {
  if (model.stats().backend.backend !== "cpu" || crossOriginIsolated) return [];
  return [
    "the CPU computes on one thread, because the page is not cross-origin isolated: serve it with the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp",
  ];
}

function placeOf(sent: SentPlace): Place {
  return typeof sent === "object" && "port" in sent ? filesOf(sent) : sent;
}

function serve(): void {
  serveModel<SentPlace>(
    {
      post: (message: FromEngine, transfer = []) => postMessage(message, { transfer: [...transfer] }),
      onMessage: (take) =>
        addEventListener("message", ({ data }: MessageEvent<ToEngine<SentPlace> | ToScript>) => {
          if (data.type === "hold") hold(data.lock);
          else {
            closing ||= data.type === "call" && data.name === "close";
            take(data);
          }
        }),
    },
    ({ place, tokenizer, options, base }, watch, tuning) =>
      openWeb(
        placeOf(place),
        { ...options, ...watch, ...(tokenizer !== undefined && { tokenizer: placeOf(tokenizer) }) },
        {
          startWorker: () => endsWithThis(startWebWorker([textThread, another(THREAD)])),
          startGrammarWorker: () => endsWithThis(startWebGrammarWorker(another(GRAMMARS))),
          tuning,
          base,
        },
      ),
    warnings,
  );
}

/** Holds a lock for as long as the script runs: that the page gets it tells the script's end. */
function hold(lock: string): void {
  void navigator.locks.request(lock, () => {
    postMessage({ type: "held" } satisfies FromScript);
    return new Promise(() => {});
  });
}

switch (self.name) {
  case THREAD: {
    postMessage(null);
    const take = createWorker((failure) => postMessage(failure));
    addEventListener("message", ({ data }: MessageEvent<WorkerMessage>) => take(data));
    break;
  }
  case GRAMMARS: {
    const take = createGrammarService((message, transfer) => postMessage(message, { transfer }));
    addEventListener("message", ({ data }: MessageEvent<ToGrammarWorker>) => take(data));
    break;
  }
  default:
    serve();
}
