// Probes for gateways, orchestrators and people: whether the server is alive, whether it takes
// requests, and its load.

import type { Context } from "hono";
import type { Capacity } from "./metrics.ts";
import { loadOf, stateOf } from "./served.ts";
import type { ServerState } from "./state.ts";

/** Answered in every phase, under any host name, without a key. */
export const PROBES: ReadonlySet<string> = new Set(["/health", "/livez", "/readyz", "/"]);

export interface ReadyOptions extends Capacity {
  /**
   * The server is "full" if more requests than this wait, for their turn or for memory; also if it
   * would reject the next one.
   */
  readonly readyQueue?: number;
}

export type Readiness = "ready" | "loading" | "draining" | "full";

export function readinessOf({ phase, models }: ServerState, capacity: ReadyOptions): Readiness {
  if (phase === "draining" || phase === "closing") return "draining";
  if (models === null) return "loading";
  const { parallel = Number.POSITIVE_INFINITY, queue = Number.POSITIVE_INFINITY, readyQueue } = capacity;
  const { queued, running, waiting } = loadOf(models);
  const refuses = queued >= queue && (queued > 0 || running >= parallel);
  return refuses || (readyQueue !== undefined && queued + waiting > readyQueue) ? "full" : "ready";
}

/** GET /livez: the process answers. A server that is loading or full must not be restarted. */
export function livez(c: Context): Response {
  return c.json({ status: "alive" });
}

/** GET /, which load balancers probe by default: as /readyz, in words. */
export function root(c: Context, state: ServerState, capacity: ReadyOptions): Response {
  if (readinessOf(state, capacity) !== "ready") return readyz(c, state, capacity);
  return c.text("hotset is running\n");
}

/** GET /readyz, and OPTIONS / (HAProxy's default): whether to send requests here. */
export function readyz(c: Context, state: ServerState, capacity: ReadyOptions): Response {
  const status = readinessOf(state, capacity);
  return c.json({ status, ...detailsOf(state) }, status === "ready" ? 200 : 503, retry(status !== "ready"));
}

/**
 * GET /health, for clients that wait for a server to start: 200 and "ok", even if it is full; 503
 * while loading, with llama-server's error beside our status; and 503 while draining.
 */
export function health(c: Context, state: ServerState): Response {
  const { phase } = state;
  if (phase === "loading") {
    const error = { code: 503, message: "Loading model", type: "unavailable_error" };
    return c.json({ status: "loading", error }, 503, retry(true));
  }
  const ready = phase === "ready";
  return c.json({ status: ready ? "ok" : "draining", ...detailsOf(state) }, ready ? 200 : 503, retry(!ready));
}

function detailsOf({ models }: ServerState): object {
  if (models === null) return {};
  const { queued, running } = loadOf(models);
  const cards = models.cards();
  if (models.one) return { model: cards[0]!.id, context: cards[0]!.context, queued, running };
  return { models: cards.map((card) => ({ id: card.id, ...stateOf(card) })), queued, running };
}

function retry(later: boolean): Record<string, string> {
  return later ? { "retry-after": "1" } : {};
}
