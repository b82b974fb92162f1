// The experts of a model at work, as frames for a reader on the other side of messages.

import { onAbort } from "../abort.ts";
import { ExpertsFeed, type ExpertsFrame, type ExpertsHead } from "../engine/experts_feed.ts";
import type { ModelView } from "../engine/model_view.ts";

/** What is told of experts: once what the frames are of, then frames. */
export type ExpertsAtWork =
  | { readonly type: "head"; readonly head: ExpertsHead }
  | { readonly type: "frame"; readonly frame: ExpertsFrame };

/** Between two frames: what steps do meanwhile is in one. */
const FRAME_MS = 50;

/** Ends when `signal` aborts, or the model closes. Costs steps nothing once it has ended. */
export async function* expertsAtWork(view: ModelView, signal: AbortSignal): AsyncGenerator<ExpertsAtWork> {
  const feed = new ExpertsFeed(view.head, () => view.stats().experts);
  let closed = signal.aborted;
  let wake = (): void => {};
  const end = (): void => {
    closed = true;
    wake();
  };
  const stay = onAbort(signal, end);
  const leave = view.watchRoutes({
    step(step) {
      feed.add(step);
      wake();
    },
    closed: end,
  });
  try {
    yield { type: "head", head: view.head };
    yield { type: "frame", frame: feed.take() }; // where experts are now
    while (!closed) {
      if (!feed.pending)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      await new Promise((resolve) => setTimeout(resolve, FRAME_MS));
      if (!closed) yield { type: "frame", frame: feed.take() };
    }
  } finally {
    leave();
    stay();
  }
}
