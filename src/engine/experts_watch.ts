// Watches the experts of a model at work, in frames: for a server's stream, and for the page of a
// worker.

import { ExpertsFeed, type ExpertsFrame } from "./experts_feed.ts";
import type { ModelView } from "./model_view.ts";

/** Between two frames: what steps do meanwhile is in one. */
const FRAME_MS = 50;

/**
 * A model that is watched. It lets go of the model when that closes, so that its memory is freed.
 */
export class Watching {
  readonly head: ExpertsFeed["head"];
  #feed: ExpertsFeed | null;
  #remove: () => void;
  #wake: () => void = () => {};
  /** When the next frame may be; 0: there was none. */
  #next = 0;

  private constructor(view: ModelView) {
    const feed = new ExpertsFeed(view.head, () => view.stats().experts);
    this.head = view.head;
    this.#feed = feed;
    this.#remove = view.watchRoutes({
      step: (step) => {
        feed.add(step);
        this.#wake();
      },
      closed: () => this.end(),
    });
  }

  static begin(view: ModelView | undefined): Watching | null {
    return view === undefined ? null : new Watching(view);
  }

  /**
   * What happened since the last frame: the first one at once, later ones when there was a step.
   * Null: there was none for `lookMs`, or `signal` has aborted.
   */
  async next(signal: AbortSignal, lookMs: number): Promise<ExpertsFrame | "closed" | null> {
    const first = this.#next === 0;
    await pause(this.#next - performance.now(), signal);
    if (!first && this.#feed?.pending === false) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await pause(lookMs, signal, woken);
      this.#wake = () => {};
    }
    if (this.#feed === null) return "closed";
    this.#next = performance.now() + FRAME_MS;
    return first || this.#feed.pending ? this.#feed.take() : null;
  }

  end(): void {
    this.#remove();
    this.#remove = () => {};
    this.#feed = null;
    this.#wake();
  }
}

/** Resolves after `ms`, at once when `signal` aborts, or with `sooner`. */
export async function pause(ms: number, signal: AbortSignal, sooner?: Promise<void>): Promise<void> {
  if (ms <= 0 || signal.aborted) return;
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
    void sooner?.then(end);
  });
}
