// The model that answers a request: the request waits until it is loaded, and holds it until the
// answer is over.

import type { ChatModel } from "../engine/chat_api.ts";
import { abortReason } from "../errors.ts";
import { HttpError } from "./errors.ts";
import type { ModelLease, ServedModels } from "./served.ts";
import type { Wanted } from "./wanted.ts";

/** What answers: its first event waits until the model is loaded. */
export type Answering = Pick<ChatModel, "name" | "chat" | "complete" | "embed">;

export interface HeldModel {
  readonly answering: Answering;
  /** The model once it is loaded. */
  loaded(): Promise<ChatModel>;
  /** Lets go of the model, or of the wait for it. */
  release(): void;
}

/** Seconds after which a request that waited too long should be tried again. */
const RETRY_SECONDS = "10";

/**
 * Takes the model that a request wants.
 * @param waitMs how long an answer that is not a stream waits for a load
 * @throws HttpError for an unknown name; what ServedModels.lease() throws at once
 */
export function holdModel(
  models: ServedModels,
  id: string,
  wanted: Wanted,
  signal: AbortSignal,
  waitMs: number,
): HeldModel {
  const { stream = false, keepMs } = wanted;
  const wait = new AbortController();
  const granted = (lease: ModelLease): ModelLease => {
    if (keepMs !== undefined) models.keepFor(id, keepMs);
    return lease;
  };
  const got = models.lease(id, wait.signal);
  if (!(got instanceof Promise)) {
    const { model, release } = granted(got);
    return { answering: model, loaded: async () => model, release };
  }
  const onAbort = (): void => wait.abort(abortReason(signal));
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  let released = false;
  let lease: ModelLease | null = null;
  const late = (): void => wait.abort(tooLate(models, id, waitMs));
  const timer = stream || !Number.isFinite(waitMs) ? undefined : setTimeout(late, waitMs);
  const model = got.then(
    (one) => {
      clearTimeout(timer);
      if (released) {
        one.release();
        throw abortReason(signal);
      }
      lease = granted(one);
      return one.model;
    },
    (error: unknown) => {
      clearTimeout(timer);
      throw error;
    },
  );
  model.catch(() => {}); // the answer, which awaits it, tells of the failure
  return {
    answering: {
      name: id,
      async *chat(messages, options) {
        yield* (await model).chat(messages, options);
      },
      async *complete(prompt, options) {
        yield* (await model).complete(prompt, options);
      },
      embed: async (input, cut) => (await model).embed(input, cut),
    },
    loaded: () => model,
    release() {
      released = true;
      clearTimeout(timer);
      lease?.release();
    },
  };
}

function tooLate(models: ServedModels, id: string, waitMs: number): HttpError {
  const { state, progress } = models.card(id);
  const how =
    state === "loading" && progress > 0 ? `is loaded to ${Math.floor(100 * progress)} %` : "is not loaded yet";
  const message = `${id} ${how} after ${Math.round(waitMs / 1000)} s (--load-wait); try again, or stream the answer`;
  return new HttpError(503, message, "loading", { "retry-after": RETRY_SECONDS });
}
