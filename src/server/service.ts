// The context that the handlers of all endpoints share: the model, the settings,
// and running requests.

import type { ChatModel } from "../engine/chat_api.ts";
import type { Failure } from "./errors.ts";
import type { ReadyOptions } from "./probes.ts";
import type { ProcessMetrics } from "./process_metrics.ts";
import type { ServerState } from "./state.ts";
import type { RequestSummary, TrackedRequest } from "./tracked_request.ts";

export interface ServerOptions {
  /**
   * API keys. Every endpoint but the probes requires one of them, as `Authorization: Bearer`,
   * `x-api-key`, `api-key` or `key` in the body. Default: no key is required.
   */
  readonly apiKey?: string | readonly string[];
  /**
   * Origins of web pages that may use the server, besides those of this machine
   * ("https://app.example", or "*" for all).
   */
  readonly cors?: readonly string[];
  /**
   * Host names of the server, besides localhost and IP addresses: "hotset.example",
   * "hotset.example:8443", "*.example", or "*" for any. Probes and /metrics are answered
   * under any name.
   */
  readonly hosts?: readonly string[];
  /** Largest request body in bytes. Default 16 MiB. */
  readonly bodyLimit?: number;
  /** Most answers of one request (n, a list of prompts) that are computed at once. Default 4. */
  readonly answersAtOnce?: number;
  /** How often an idle stream gets a comment (in Anthropic's API a ping event). Default 10 s. */
  readonly keepAliveMs?: number;
  /** Called with unexpected errors. */
  readonly log?: (error: unknown) => void;
  /** The model's limits, for /readyz and /metrics. */
  readonly capacity?: ReadyOptions;
  /** Called with every finished request. */
  readonly onRequest?: (record: RequestSummary) => void;
  /** Added to /metrics. */
  readonly process?: Pick<ProcessMetrics, "text">;
  /** For hotset_build_info. */
  readonly version?: string;
}

/** A request whose answer is being computed. */
export interface ActiveRequest {
  /** Aborts when the client leaves and when the server closes. */
  readonly signal: AbortSignal;
  /**
   * Stops everything that still runs for it. Call it when the answer is sent or abandoned;
   * `failure`: why it broke off.
   */
  end(failure?: Failure | null): void;
}

export interface Service {
  /** @throws HttpError 503 while the model is being loaded */
  readonly model: ChatModel;
  readonly bodyLimit: number;
  readonly answersAtOnce: number;
  readonly keepAliveMs: number;
  readonly log: (error: unknown) => void;
  /** Associates a request with the object that follows it. */
  track(request: Request, tracked: TrackedRequest): void;
  trackedOf(request: Request): TrackedRequest | undefined;
  /** @throws HttpError 503 once the server closes */
  begin(request: Request): ActiveRequest;
}

/** Wraps a model so that its answers are measured. */
export type Measure = (
  model: ChatModel,
  requestOf: (signal: AbortSignal | undefined) => TrackedRequest | undefined,
) => ChatModel;

export function createService(state: ServerState, measure: Measure, options: ServerOptions): Service {
  const tracked = new WeakMap<Request, TrackedRequest>();
  const bySignal = new WeakMap<AbortSignal, TrackedRequest>();
  let measured: ChatModel | null = null;
  return {
    get model() {
      if (state.model === null) state.admit(); // throws
      measured ??= measure(state.model!, (signal) => signal && bySignal.get(signal));
      return measured;
    },
    bodyLimit: options.bodyLimit ?? 16 * 2 ** 20,
    answersAtOnce: options.answersAtOnce ?? 4,
    keepAliveMs: options.keepAliveMs ?? 10_000,
    log: options.log ?? (() => {}),
    track: (request, one) => void tracked.set(request, one),
    trackedOf: (request) => tracked.get(request),
    begin(request) {
      if (state.closing) throw state.closing;
      const controller = new AbortController();
      const one = tracked.get(request);
      if (one) bySignal.set(controller.signal, one);
      const left = request.signal;
      const onLeave = (): void => controller.abort(new DOMException("the client left", "AbortError"));
      if (left.aborted) onLeave();
      left.addEventListener("abort", onLeave);
      const stay = state.onClose((error) => controller.abort(error));
      return {
        signal: controller.signal,
        end(failure = null) {
          left.removeEventListener("abort", onLeave);
          stay();
          controller.abort(new DOMException("the answer is over", "AbortError"));
          one?.ended(failure);
        },
      };
    },
  };
}
