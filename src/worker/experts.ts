// The experts of a model at work, as frames for a reader on the other side of messages.

import type { ExpertsFrame, ExpertsHead } from "../engine/experts_feed.ts";
import { Watching } from "../engine/experts_watch.ts";
import type { ModelView } from "../engine/model_view.ts";

/** What is told of experts: once what the frames are of, then frames. */
export type ExpertsAtWork =
  | { readonly type: "head"; readonly head: ExpertsHead }
  | { readonly type: "frame"; readonly frame: ExpertsFrame };

/** There is nothing else to look at meanwhile. */
const LOOK_MS = 60_000;

/** Ends when `signal` aborts, or the model closes. Costs steps nothing once it has ended. */
export async function* expertsAtWork(view: ModelView, signal: AbortSignal): AsyncGenerator<ExpertsAtWork> {
  const watching = Watching.begin(view)!;
  try {
    yield { type: "head", head: watching.head };
    while (!signal.aborted) {
      const frame = await watching.next(signal, LOOK_MS);
      if (frame === "closed") break;
      if (frame !== null) yield { type: "frame", frame };
    }
  } finally {
    watching.end();
  }
}
