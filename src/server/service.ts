// What the handlers of all endpoints share: the model, the settings, and the requests under way.

import type { ChatModel } from "../engine/chat_api.ts";
import { HttpError } from "./errors.ts";

export interface ServerOptions {
  /** Wanted as `Authorization: Bearer`, `x-api-key`, `api-key` or `key` in the body by every endpoint but /health. Default: none is. */
  readonly apiKey?: string;
  /** Origins of web pages that may use the server, beside those of this machine ("https://app.example", or "*" for all). */
  readonly cors?: readonly string[];
  /**
   * Names under which the server may be addressed, beside localhost and IP addresses: "hotset.example",
   * "hotset.example:8443", "*.example", or "*" for any. Probes (/health, /metrics) are answered under any name.
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
  /** Aborts when the server closes: every answer under way ends with an error that says so. */
  readonly signal?: AbortSignal;
}

/** A request while it is computed. */
export interface Work {
  /** Aborts when the client leaves and when the server closes. */
  readonly signal: AbortSignal;
  /** Gives up whatever still runs for it. To be called once the answer is out or given up. */
  end(): void;
}

export interface Service {
  readonly model: ChatModel;
  readonly bodyLimit: number;
  readonly answersAtOnce: number;
  readonly keepAliveMs: number;
  readonly log: (error: unknown) => void;
  /** @throws HttpError 503 once the server closes */
  begin(request: Request): Work;
}

export function createService(model: ChatModel, options: ServerOptions): Service {
  const live = new Set<AbortController>();
  const closing = (): HttpError =>
    new HttpError(503, "the server is closing", "closing", { "x-should-retry": "false" });
  options.signal?.addEventListener("abort", () => {
    for (const controller of live) controller.abort(closing());
  });
  return {
    model,
    bodyLimit: options.bodyLimit ?? 16 * 2 ** 20,
    answersAtOnce: options.answersAtOnce ?? 4,
    keepAliveMs: options.keepAliveMs ?? 10_000,
    log: options.log ?? (() => {}),
    begin(request) {
      if (options.signal?.aborted) throw closing();
      const controller = new AbortController();
      const left = request.signal;
      const onLeave = (): void => controller.abort(new DOMException("the client left", "AbortError"));
      if (left.aborted) onLeave();
      left.addEventListener("abort", onLeave);
      live.add(controller);
      return {
        signal: controller.signal,
        end() {
          left.removeEventListener("abort", onLeave);
          live.delete(controller);
          controller.abort(new DOMException("the answer is over", "AbortError"));
        },
      };
    },
  };
}
