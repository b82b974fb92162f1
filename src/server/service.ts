// The context that the handlers of all endpoints share: the model, the settings,
// and running requests.

import type { ChatModel } from "../engine/chat_api.ts";
import type { Keys } from "./auth.ts";
import type { Failure } from "./errors.ts";
import { type Answering, type HeldModel, holdModel } from "./held_model.ts";
import type { Metrics } from "./metrics.ts";
import type { ActivityLog } from "./node_activity.ts";
import type { ReadyOptions } from "./probes.ts";
import type { PullModel } from "./pull_model.ts";
import type { ServedModels } from "./served.ts";
import type { Speed } from "./speed.ts";
import type { ServerState } from "./state.ts";
import type { RequestSummary, TrackedRequest } from "./tracked_request.ts";
import type { Wanted } from "./wanted.ts";

export interface ServerOptions {
  /**
   * API keys. Every endpoint but the probes requires one of them, as `Authorization: Bearer`,
   * `x-api-key`, `api-key` or `key` in the body. A function is called at each request. Default: no
   * key is required.
   */
  readonly apiKey?: Keys;
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
  /**
   * How long an answer that is not a stream waits for its model to be loaded, before it gets a 503.
   * Default 5 minutes.
   */
  readonly loadWaitMs?: number;
  /** For /api/pull. Default: clients may not download models. */
  readonly pull?: PullModel;
  /** Counts requests for /hotset/activity. Default: nothing is counted. */
  readonly activity?: ActivityLog;
  /** Called with unexpected errors. */
  readonly log?: (error: unknown) => void;
  /** The model's limits, for /readyz and /metrics. */
  readonly capacity?: ReadyOptions;
  /** Called with every finished request. */
  readonly onRequest?: (record: RequestSummary) => void;
  /**
   * Whether browsers get the page at "/". Default true, where the page is built (it is in the
   * package).
   */
  readonly page?: boolean;
  /** For hotset_build_info. */
  readonly version?: string;
}

/** A request that is worked on. */
export interface WatchedRequest {
  /** Aborts when the client leaves and when the server closes. */
  readonly signal: AbortSignal;
  /**
   * Stops everything that still runs for it. Call it when the answer is sent or abandoned;
   * `failure`: why it broke off.
   */
  end(failure?: Failure | null): void;
}

/** A request whose answer is being computed. */
export interface ActiveRequest extends WatchedRequest {
  /** The model's name in answers. */
  readonly name: string;
  /** What answers. It waits by itself until the model is loaded. */
  readonly model: Answering;
  /** The model, once it is loaded. */
  loaded(): Promise<ChatModel>;
}

export interface Service {
  /** @throws HttpError 503 while the only model is being loaded */
  readonly models: ServedModels;
  readonly bodyLimit: number;
  readonly answersAtOnce: number;
  readonly keepAliveMs: number;
  /** Downloads a model; null: clients may not. */
  readonly pull: PullModel | null;
  /** How fast models write now. */
  readonly speed: Pick<Speed, "of">;
  /** Null: nothing is counted. */
  readonly activity: ActivityLog | null;
  readonly log: (error: unknown) => void;
  /** Streams that watch experts. */
  readonly watchers: Set<object>;
  /** Whether no new requests are taken: streams without an end of their own end now. */
  readonly draining: boolean;
  /** Associates a request with the object that follows it. */
  track(request: Request, tracked: TrackedRequest): void;
  trackedOf(request: Request): TrackedRequest | undefined;
  /** A request that needs no model. @throws HttpError 503 once the server closes */
  watch(request: Request): WatchedRequest;
  /**
   * Takes the model that a request wants, until the request ends.
   * @throws HttpError 503 once the server closes; 404 for a model that is not here; why it cannot
   * be loaded
   */
  begin(request: Request, wanted: Wanted): Promise<ActiveRequest>;
}

const LOAD_WAIT_MS = 300_000;

export function createService(
  state: ServerState,
  { measure, speed }: Pick<Metrics, "measure" | "speed">,
  options: ServerOptions,
): Service {
  const tracked = new WeakMap<Request, TrackedRequest>();
  const bySignal = new WeakMap<AbortSignal, TrackedRequest>();
  const measured = new WeakMap<Answering, Answering>();
  const modelsNow = (): ServedModels => {
    if (state.models === null) state.admit(); // throws
    return state.models!;
  };
  const measuredOf = (model: Answering): Answering => {
    const wrapped = measured.get(model) ?? measure(model, (signal) => signal && bySignal.get(signal));
    measured.set(model, wrapped);
    return wrapped;
  };
  const watch = (request: Request): WatchedRequest => {
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
  };
  return {
    get models() {
      return modelsNow();
    },
    bodyLimit: options.bodyLimit ?? 16 * 2 ** 20,
    answersAtOnce: options.answersAtOnce ?? 4,
    keepAliveMs: options.keepAliveMs ?? 10_000,
    pull: options.pull ?? null,
    speed,
    activity: options.activity ?? null,
    log: options.log ?? (() => {}),
    watchers: new Set(),
    get draining() {
      return state.phase === "draining" || state.phase === "closing";
    },
    track: (request, one) => void tracked.set(request, one),
    trackedOf: (request) => tracked.get(request),
    watch,
    async begin(request, wanted) {
      if (state.closing) throw state.closing;
      const models = modelsNow();
      await models.look(wanted.name);
      const id = models.find(wanted.name);
      const { signal, end } = watch(request);
      let held: HeldModel;
      try {
        held = holdModel(models, id, wanted, signal, options.loadWaitMs ?? LOAD_WAIT_MS);
      } catch (error) {
        end();
        throw error;
      }
      return {
        signal,
        name: id,
        model: measuredOf(held.answering),
        loaded: held.loaded,
        end(failure = null) {
          end(failure);
          held.release();
        },
      };
    },
  };
}
