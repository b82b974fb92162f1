// hotset/prompt: a loaded model in the shape of the Prompt API, for pages that are written for
// Chrome's LanguageModel.

import { onAbort } from "../abort.ts";
import type { ChatModel } from "../engine/chat_api.ts";
import type { Model } from "../engine/model_api.ts";
import { domError, expectsTexts, inputOf, PARAMS, samplingOf } from "./prompt_input.ts";
import { HotsetSession } from "./prompt_session.ts";
import type { Availability, CreateOptions, PromptApi } from "./prompt_types.ts";
import { servingOf } from "./serving.ts";

export type * from "./prompt_types.ts";

/** How the first create() gets its model. */
export interface PromptSource {
  /**
   * Opens the model.
   * @param onProgress to be called with bytes done and in total, as OpenOptions.onProgress is
   */
  open(onProgress: (done: number, total: number) => void): Promise<Model | ChatModel>;
}

/**
 * What `LanguageModel` is in a browser that has one:
 * `globalThis.LanguageModel ??= promptApi(model)`.
 * Sessions have the model's whole context and share its memory; destroying them does not close it.
 * @param source a model, or how to open one when the first session is created: until then it is
 * "downloadable"
 */
export function promptApi(source: Model | ChatModel | PromptSource): PromptApi {
  let opened: Promise<ChatModel> | null = null;
  let state: Availability = "open" in source ? "downloadable" : "available";
  /** What each monitor was told last. */
  const watching = new Map<EventTarget, number>();
  const tell = (monitor: EventTarget, loaded: number): void => {
    if (watching.get(monitor) === loaded) return;
    watching.set(monitor, loaded);
    monitor.dispatchEvent(new DownloadProgress(loaded));
  };
  /** Opens the model once; after a failure the next caller tries again. */
  const opening = (): Promise<ChatModel> => {
    opened ??= (async () => {
      if (!("open" in source)) return servingOf(source);
      state = "downloading";
      try {
        const model = await source.open((done, total) => {
          for (const monitor of watching.keys()) tell(monitor, total > 0 ? done / total : 0);
        });
        state = "available";
        return servingOf(model);
      } catch (error) {
        state = "downloadable";
        opened = null;
        throw error;
      }
    })();
    return opened;
  };
  return {
    async availability(options = {}) {
      samplingOf(options);
      return expectsTexts(options) ? state : "unavailable";
    },
    params: async () => PARAMS,
    async create(options = {}) {
      const { signal, monitor, tools = [], initialPrompts = [] } = options;
      signal?.throwIfAborted();
      const sampling = samplingOf(options);
      if (!expectsTexts(options)) throw new DOMException("the model reads and writes only texts", "NotSupportedError");
      const initial = initialOf(initialPrompts);
      const target = new EventTarget();
      monitor?.(target);
      try {
        tell(target, 0);
        const model = await abortable(opening(), signal);
        tell(target, 1);
        const session = new HotsetSession({ model, sampling, tools, initial });
        onAbort(signal, () => session.destroy(signal!.reason));
        return session;
      } catch (error) {
        throw domError(error);
      } finally {
        watching.delete(target);
      }
    },
  };
}

function initialOf(prompts: CreateOptions["initialPrompts"] & {}) {
  if (prompts.length === 0) return [];
  const { messages, continued } = inputOf(prompts, false);
  if (continued) throw new DOMException("prefix: only a prompt continues a message", "SyntaxError");
  return messages;
}

/** As a ProgressEvent, which Node does not have. */
class DownloadProgress extends Event {
  readonly loaded: number;
  readonly total = 1;
  readonly lengthComputable = true;
  constructor(loaded: number) {
    super("downloadprogress");
    this.loaded = loaded;
  }
}

/** Rejects when `signal` aborts, whatever becomes of `promise`. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stay = onAbort(signal, () => reject(signal.reason));
    promise.finally(stay).then(resolve, reject);
  });
}
