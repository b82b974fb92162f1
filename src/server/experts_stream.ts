// GET /hotset/experts: the experts of a model at work, as server-sent events. It neither loads the
// model nor keeps it loaded: while it is not there, the stream says so and waits.
//
//   event: state   {"model":"tales","state":"loading","progress":0.4}   whenever it changes
//   event: head    {"model":"tales", ...ExpertsHead}                    when the model is there
//   event: frame   {...ExpertsFrame}                                    at most one in FRAME_MS

import type { Context } from "hono";
import { pause, Watching } from "../engine/experts_watch.ts";
import { errorBody, type Failure, HttpError } from "./errors.ts";
import { stateOf } from "./served.ts";
import type { Service } from "./service.ts";
import { event, streamed } from "./sse.ts";

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
      while (!signal.aborted && !service.draining) {
        const frame = await watching.next(signal, LOOK_MS);
        if (frame === "closed") break;
        if (frame !== null) yield event(JSON.stringify(frame), "frame");
      }
    } finally {
      watching.end();
    }
  }
}
