// hotset's public API in a browser: the same engine over navigator.gpu, range requests
// and picked files.

import { fileThread } from "./backend/cpu/web_thread_file.ts";
import { startWebWorker, textThread } from "./backend/cpu/web_threads.ts";
import { pageStore } from "./backend/webgpu/tuning/web_store.ts";
import type { Model } from "./engine/model.ts";
import { fileGrammarThread } from "./grammar/web_grammar_file.ts";
import { startWebGrammarWorker } from "./grammar/web_grammar_threads.ts";
import { openWeb, type PageOptions, type Place } from "./wiring/web_open.ts";

export type * from "./engine/api.ts";
export type * from "./engine/chat_api.ts";
export { ExpertsFeed, type ExpertsFrame, type ExpertsHead } from "./engine/experts_feed.ts";
export type { Model, RouteListener, ServingOptions, WatchedStep } from "./engine/model_api.ts";
export type { ModelFacts, ModelView } from "./engine/model_view.ts";
export {
  type ChatInput,
  jsonFormat,
  type Schema,
  type SchemaTool,
  type ToolOptions,
  type TypedFormat,
  type TypedTool,
  tool,
} from "./engine/schemas.ts";
export {
  DeviceError,
  HotsetError,
  HubError,
  MemoryError,
  type Overflow,
  RequestError,
  type RequestErrorDetail,
  WeightsError,
} from "./errors.ts";
export { type TraceHeader, traceHeader, traceLine } from "./experts/trace.ts";
export type { CachedModel, Removal } from "./hub/models.ts";
export type { Pulled, PullOptions, PullPlan } from "./hub/pull.ts";
export { cachedModels, prepareRemoval } from "./hub/web_models.ts";
export { type PagePullOptions, type PageStorage, pageStorage, pull } from "./hub/web_pull.ts";
export type { Bypass } from "./tensor/types.ts";
export type { Files } from "./weights/files.ts";
export { openInWorker } from "./wiring/web_in_worker.ts";
export type { PageOptions, Place } from "./wiring/web_open.ts";
export type { ExpertsAtWork } from "./worker/experts.ts";
export type { WorkerModel, WorkerOptions } from "./worker/types.ts";

/**
 * Opens a model in a page.
 * @param weights the URL of a folder of weights or of a GGUF file (the server must answer range
 * requests for large files), the name of a model that pull() has downloaded (`hf:owner/name`),
 * picked files, a Files of your own, or `synthetic:NAME?layers=2&seed=1`
 * @throws WeightsError, MemoryError, DeviceError, RequestError as open() in Node
 */
export function open(weights: Place, options: PageOptions = {}): Promise<Model> {
  return openWeb(weights, options, {
    startWorker: () => startWebWorker([textThread, fileThread]),
    startGrammarWorker: () => startWebGrammarWorker(fileGrammarThread),
    tuning: pageStore(),
  });
}
