// What the handlers of all endpoints share: the model, the settings, and the requests under way.

import type { ChatModel } from "../engine/chat_api.ts";
import type { Call, CallRecord } from "./calls.ts";
import type { Failure } from "./errors.ts";
import type { ReadyOptions } from "./probes.ts";
import type { ProcessMetrics } from "./process_metrics.ts";
import type { ServerState } from "./state.ts";

export interface ServerOptions {
  /**
   * The keys, any of which is wanted as `Authorization: Bearer`, `x-api-key`, `api-key` or `key` in the body by every endpoint
   * but the probes. Default: none is.
   */
  readonly apiKey?: string | readonly string[];
  /** Origins of web pages that may use the server, beside those of this machine ("https://app.example", or "*" for all). */
  readonly cors?: readonly string[];
  /**
   * Names under which the server may be addressed, beside localhost and IP addresses: "hotset.example",
   * "hotset.example:8443", "*.example", or "*" for any. Probes and /metrics are answered under any name.
   */
  readonly hosts?: readonly string[];
  /** Largest request body in bytes. Default 16 MiB. */
  readonly bodyLimit?: number;
  /** Answers of one request (n, a list of prompts) that are computed at once. Default 4. */
  readonly answersAtOnce?: number;
  /** A stream in which nothing happens gets a comment (Anthropic's API: a ping event) so often. Default 10 s. */
  readonly keepAliveMs?: number;
  /** Told of errors that nobody expected; default: nobody is. */
  readonly log?: (error: unknown) => void;
  /** What the model may do at once: for /readyz and /metrics. */
  readonly capacity?: ReadyOptions;
  /** Told of every request when it is over. */
  readonly onRequest?: (record: CallRecord) => void;
  /** Added to /metrics. */
  readonly process?: Pick<ProcessMetrics, "text">;
  /** For hotset_build_info. */
  readonly version?: string;
}

/** A request while it is computed. */
export interface Work {
  /** Aborts when the client leaves and when the server closes. */
  readonly signal: AbortSignal;
  /** Gives up whatever still runs for it. To be called once the answer is out or given up; `failure`: what broke it off. */
  end(failure?: Failure | null): void;
}

export interface Service {
  /** @throws HttpError 503 while it is being loaded */
  readonly model: ChatModel;
  readonly bodyLimit: number;
  readonly answersAtOnce: number;
  readonly keepAliveMs: number;
  readonly log: (error: unknown) => void;
  /** Says which call a request is. */
  register(request: Request, call: Call): void;
  callOf(request: Request): Call | undefined;
  /** @throws HttpError 503 once the server closes */
  begin(request: Request): Work;
}

/** How the model is made one whose answers are measured. */
export type Measure = (model: ChatModel, callOf: (signal: AbortSignal | undefined) => Call | undefined) => ChatModel;

export function createService(state: ServerState, measure: Measure, options: ServerOptions): Service {
  const calls = new WeakMap<Request, Call>();
  const bySignal = new WeakMap<AbortSignal, Call>();
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
    register: (request, call) => void calls.set(request, call),
    callOf: (request) => calls.get(request),
    begin(request) {
      if (state.closing) throw state.closing;
      const controller = new AbortController();
      const call = calls.get(request);
      if (call) bySignal.set(controller.signal, call);
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
          call?.ended(failure);
        },
      };
    },
  };
}
