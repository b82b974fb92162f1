// hotset's public API in a browser: the same engine over navigator.gpu, range requests
// and picked files.

import { likelyCores, startWebWorker } from "./backend/cpu/web_threads.ts";
import { describeAdapter } from "./backend/webgpu/device/adapter.ts";
import { pageStore } from "./backend/webgpu/tuning/web_store.ts";
import type { OpenOptions } from "./engine/api.ts";
import type { Model } from "./engine/model.ts";
import { startWebGrammarWorker } from "./grammar/web_grammar_threads.ts";
import { pulledFiles } from "./hub/web_pull.ts";
import type { Files, Opened } from "./weights/files.ts";
import { httpFolderOrFile, pickedFiles } from "./weights/web_files.ts";
import { openModel, type Platform, type PlatformGpu } from "./wiring/open.ts";

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
export type { Files } from "./weights/files.ts";

/** The default budget of a page: a tab's heap ends at 4 GiB. */
const DEFAULT_RAM = 2 * 2 ** 30;

/** The page's WebGPU, or null if the browser or the machine has none. */
async function pageGpu(): Promise<PlatformGpu | null> {
  const gpu: GPU | undefined = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  const adapter = await gpu?.requestAdapter();
  if (!gpu || !adapter) return null;
  return { gpu, software: describeAdapter(adapter).software, release: async () => {} };
}

/** A URL, the name of a model that pull() has downloaded, picked files, or a Files of your own. */
export type Place = string | readonly File[] | Files;

/** As OpenOptions in Node, but for where files are. */
export interface PageOptions extends Omit<OpenOptions, "tokenizer"> {
  /**
   * The URL of a folder or a file (tokenizer.json, tokenizer.model, GGUF), a name, or those files,
   * whose tokenizer and chat templates are used in place of the model's own.
   */
  readonly tokenizer?: Place;
}

function filesOf(place: readonly File[] | Files): Files {
  return "read" in place ? place : pickedFiles(place);
}

/** A file that was picked alone counts whatever its name is. */
function openedOf(place: readonly File[] | Files): Opened {
  return { files: filesOf(place), file: "read" in place || place.length !== 1 ? null : place[0]!.name };
}

/** What a name or a URL stands for. */
async function placeOf(text: string): Promise<Opened> {
  return (await pulledFiles(text)) ?? httpFolderOrFile(text);
}

/**
 * Opens a model in a page.
 * @param weights the URL of a folder of weights or of a GGUF file (the server must answer range
 * requests for large files), the name of a model that pull() has downloaded (`hf:owner/name`),
 * picked files, a Files of your own, or `synthetic:NAME?layers=2&seed=1`
 * @throws WeightsError, MemoryError, DeviceError, RequestError as open() in Node
 */
export function open(weights: Place, { tokenizer, ...options }: PageOptions = {}): Promise<Model> {
  const given = typeof weights === "string" ? null : filesOf(weights);
  const platform: Platform = {
    files: async (text) => (given ? { files: given, file: null } : placeOf(text)),
    tokenizer: async (text) => (typeof tokenizer === "object" ? openedOf(tokenizer) : placeOf(text)),
    gpu: pageGpu,
    mayHaveGpu: true,
    ram: DEFAULT_RAM,
    cpuName: "browser",
    cores: likelyCores(),
    startWorker: startWebWorker,
    startGrammarWorker: startWebGrammarWorker,
    tuning: pageStore(),
    chat: async (...args) => (await import("./chat/conventions.ts")).openChat(...args),
    spill: () => null,
    identity: (where) => where,
  };
  const other = tokenizer !== undefined && { tokenizer: typeof tokenizer === "string" ? tokenizer : "picked files" };
  return openModel(given?.label ?? (weights as string), { ...options, ...other }, platform);
}
