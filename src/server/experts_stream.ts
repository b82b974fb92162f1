// GET /hotset/experts: the experts of a model at work, as server-sent events. It neither loads the
// model nor keeps it loaded: while it is not there, the stream says so and waits.
//
//   event: state   {"model":"tales","state":"loading","progress":0.4}   whenever it changes
//   event: head    {"model":"tales", ...ExpertsHead}                    when the model is there
//   event: frame   {...ExpertsFrame}                                    at most one in FRAME_MS

import type { Context } from "hono";
import { ExpertsFeed, type ExpertsFrame } from "../engine/experts_feed.ts";
import type { ModelView } from "../engine/model_view.ts";
import { errorBody, type Failure, HttpError } from "./errors.ts";
import { stateOf } from "./served.ts";
import type { Service } from "./service.ts";
import { event, streamed } from "./sse.ts";

/** Between two frames: what steps do meanwhile is in one. */
const FRAME_MS = 50;
/** How soon a stream sees that the model is there, or that the server is drained. */
const LOOK_MS = 250;
/** Most streams at once: each has its own copy of what steps do. */
const MOST = 32;

export async function expertsStream(c: Context, service: Service): Promise<Response> {
  const { models, watchers, keepAliveMs, log } = service;
  const id = models.find(c.req.query("model"));
  if (watchers.size >= MOST)
    throw new HttpError(503, `${MOST} pages watch experts, which is the most; close one`, "busy", {
      "retry-after": "5",
    });
  const work = service.watch(c.req.raw);
  const watcher = {};
  watchers.add(watcher);
  return streamed(events(service, id, work.signal), {
    keepAliveMs,
    log,
    failed: (failure) => event(JSON.stringify(errorBody(failure, "openai")), "error"),
    done(failure: Failure | null) {
      watchers.delete(watcher);
      work.end(failure);
    },
  });
}

async function* events(service: Service, id: string, signal: AbortSignal): AsyncGenerator<string> {
  const { models } = service;
  let told = "";
  while (!signal.aborted && !service.draining) {
    const watching = Watching.begin(models.card(id).model?.view);
    const { state, progress, reason } = stateOf(models.card(id)) as Readonly<Record<string, unknown>>;
    const now = JSON.stringify({ model: id, state, progress, reason });
    if (now !== told) yield event(now, "state");
    told = now;
    if (watching === null) {
      if (state === "ready") throw new HttpError(501, `${id} is not run by this engine: its experts are not known`);
      await pause(LOOK_MS, signal);
      continue;
    }
    try {
      yield event(JSON.stringify({ model: id, ...watching.head }), "head");
      for (let next = 0; !signal.aborted && !service.draining; ) {
        await watching.step(Math.max(next - performance.now(), 0), signal);
        const frame = watching.take(next === 0);
        if (frame === "closed") break;
        next = performance.now() + FRAME_MS;
        if (frame !== null) yield event(JSON.stringify(frame), "frame");
      }
    } finally {
      watching.end();
    }
  }
}

/**
 * A model that is watched. It lets go of the model when that closes, so that its memory is freed.
 */
class Watching {
  readonly head: ExpertsFeed["head"];
  #feed: ExpertsFeed | null;
  #remove: () => void;
  #wake: () => void = () => {};

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

  /** Resolves after `ms` and once there was a step, or when it is time to look around. */
  async step(ms: number, signal: AbortSignal): Promise<void> {
    await pause(ms, signal);
    if (this.#feed === null || this.#feed.pending) return;
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await pause(LOOK_MS, signal, woken);
    this.#wake = () => {};
  }

  /** What happened since the last frame; null: nothing. `all`: also then. */
  take(all: boolean): ExpertsFrame | "closed" | null {
    if (this.#feed === null) return "closed";
    return all || this.#feed.pending ? this.#feed.take() : null;
  }

  end(): void {
    this.#remove();
    this.#remove = () => {};
    this.#feed = null;
    this.#wake();
  }
}

/** Resolves after `ms`, at once when `signal` aborts, or with `sooner`. */
async function pause(ms: number, signal: AbortSignal, sooner?: Promise<void>): Promise<void> {
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
