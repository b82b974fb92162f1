// Server-sent events, or lines of JSON, at the reader's pace: the next piece of an answer is
// requested when the last one has been read.

import { type Failure, failureOf } from "./errors.ts";
import { leftFailure } from "./tracked_request.ts";

export interface StreamSettings {
  /**
   * `keepAlive` is sent if nothing else was for so long, so that the connection does not look dead.
   */
  readonly keepAliveMs: number;
  /** Default: a comment, which every client ignores. */
  readonly keepAlive?: string;
  /** Default: that of server-sent events. */
  readonly contentType?: string;
  /** The event for a failure after the first event. */
  readonly failed: (failure: Failure) => string;
  /** Called with unexpected errors. */
  readonly log: (error: unknown) => void;
  /** Called once when the stream is over; `failure`: why it broke off, also if the client left. */
  readonly done: (failure: Failure | null) => void;
}

/** One event; `name` where the API has named events. */
export function event(data: string, name?: string): string {
  return `${name === undefined ? "" : `event: ${name}\n`}data: ${data}\n\n`;
}

const COMMENT = ": ping\n\n";
const HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  // For proxies that would buffer the stream.
  "x-accel-buffering": "no",
};

/**
 * Answers with the texts of `events`. Waits for the first one, at most `keepAliveMs`, so that an
 * immediate failure gets its own status. A client that leaves ends the iteration (`return`).
 * @throws any error of `events` before its first text
 */
export async function streamed(events: AsyncIterator<string>, settings: StreamSettings): Promise<Response> {
  let over = false;
  const finish = (failure: Failure | null): void => {
    if (!over) settings.done(failure);
    over = true;
  };
  let pending = events.next();
  pending.catch(() => {}); // reported where it is awaited next
  try {
    await soon(pending, settings.keepAliveMs);
  } catch (error) {
    finish(failureOf(error));
    throw error;
  }
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const send = (text: string): void => {
          if (!over) controller.enqueue(encoder.encode(text));
        };
        const close = (failure: Failure | null): void => {
          if (!over) controller.close();
          finish(failure);
        };
        try {
          const next = await soon(pending, settings.keepAliveMs);
          if (next === WAITING) return send(settings.keepAlive ?? COMMENT);
          if (next.done) return close(null);
          send(next.value);
          if (over) return;
          pending = events.next();
          pending.catch(() => {});
        } catch (error) {
          const failure = failureOf(error);
          if (failure.unexpected) settings.log(error);
          send(settings.failed(failure));
          close(failure);
        }
      },
      cancel() {
        finish(leftFailure());
        events.return?.().catch(() => {});
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, {
    headers: { ...HEADERS, ...(settings.contentType !== undefined && { "content-type": settings.contentType }) },
  });
}

const WAITING = Symbol("nothing yet");

/** The result of `promise`, or WAITING after `ms`. */
async function soon<T>(promise: Promise<T>, ms: number): Promise<T | typeof WAITING> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<typeof WAITING>((resolve) => {
    timer = setTimeout(() => resolve(WAITING), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
