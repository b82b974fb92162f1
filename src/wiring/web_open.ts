// open() of a browser: the engine over navigator.gpu, range requests, picked files and models that
// pull() has stored; in a page and in a worker alike.

import { likelyCores } from "../backend/cpu/web_threads.ts";
import { describeAdapter } from "../backend/webgpu/device/adapter.ts";
import type { OpenOptions } from "../engine/api.ts";
import type { Model } from "../engine/model.ts";
import { pageSpill, removeLeftSpills } from "../experts/web_spill.ts";
import { pulledFiles } from "../hub/web_pull.ts";
import type { Files, Opened } from "../weights/files.ts";
import { httpFolderOrFile, openHandle, pickedFiles } from "../weights/web_files.ts";
import type { Platform, PlatformGpu } from "./open.ts";
import { openWithDraft } from "./open_with_draft.ts";
import type { FilesPort } from "./web_files_port.ts";

/** The default budget: a tab's heap ends at 4 GiB. */
const DEFAULT_RAM = 2 * 2 ** 30;

function browserGpu(): GPU | undefined {
  return (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
}

/** The browser's WebGPU, or null if the browser or the machine has none. */
async function webGpu(): Promise<PlatformGpu | null> {
  const gpu = browserGpu();
  const adapter = await gpu?.requestAdapter();
  if (!gpu || !adapter) return null;
  return { gpu, software: describeAdapter(adapter).software, release: async () => {} };
}

/**
 * A URL, the name of a model that pull() has downloaded, picked files, a handle of a folder or a
 * file, or a Files of your own.
 */
export type Place = string | readonly File[] | FileSystemDirectoryHandle | FileSystemFileHandle | Files;

/** The same in a message to the worker. */
export type SentPlace = Exclude<Place, Files> | FilesPort;

/** As OpenOptions in Node, but for where files are. */
export interface PageOptions extends Omit<OpenOptions, "tokenizer"> {
  /**
   * The URL of a folder or a file (tokenizer.json, tokenizer.model, GGUF), a name, those files, or
   * a handle of either, whose tokenizer and chat templates are used in place of the model's own.
   */
  readonly tokenizer?: Place;
}

type Given = Exclude<Place, string>;

async function openedOf(place: Given): Promise<Opened> {
  if ("read" in place) return { files: place, file: null };
  return "kind" in place ? openHandle(place) : { files: pickedFiles(place, labelOf(place)), file: null };
}

/** A file that was picked alone counts whatever its name is. */
async function tokenizerOf(place: Given): Promise<Opened> {
  const opened = await openedOf(place);
  return { ...opened, file: "length" in place && place.length === 1 ? place[0]!.name : opened.file };
}

/** In messages: the folder's name, or the file's. */
function labelOf(place: Given): string {
  if ("read" in place) return place.label;
  if ("kind" in place) return place.name;
  const [folder] = (place[0]?.webkitRelativePath ?? "").split("/");
  return folder || (place.length === 1 ? place[0]!.name : "picked files");
}

/** What differs between a page and a worker. */
export interface WebHost extends Pick<Platform, "startWorker" | "startGrammarWorker" | "tuning"> {
  /** What relative URLs are below; default: the script's own address. */
  readonly base?: string;
}

/** Opens a model. @throws WeightsError, MemoryError, DeviceError, RequestError as open() in Node */
export function openWeb(weights: Place, { tokenizer, ...options }: PageOptions, host: WebHost): Promise<Model> {
  const { base, ...own } = host;
  // A worker that was made from a text has no address that others could be below.
  const absolute = (url: string): string => (base === undefined ? url : new URL(url, base).href);
  const placeOf = async (text: string, asModel: boolean): Promise<Opened> =>
    (await pulledFiles(text)) ?? httpFolderOrFile(absolute(text), undefined, asModel);
  const label = typeof weights === "string" ? weights : labelOf(weights);
  const platform: Platform = {
    // a draft model is named by a text
    files: async (text) => (typeof weights === "string" || text !== label ? placeOf(text, true) : openedOf(weights)),
    tokenizer: async (text) => (typeof tokenizer === "object" ? tokenizerOf(tokenizer) : placeOf(text, false)),
    gpu: webGpu,
    mayHaveGpu: browserGpu() !== undefined,
    ram: DEFAULT_RAM,
    cpuName: "browser",
    cores: likelyCores(),
    ...own,
    chat: async (...args) => (await import("../chat/conventions.ts")).openChat(...args),
    spill: pageSpill,
    identity: (where) => where,
  };
  void removeLeftSpills();
  import("../chat/conventions.ts").catch(() => {}); // so that it is there when it is needed
  const other = tokenizer !== undefined && { tokenizer: typeof tokenizer === "string" ? tokenizer : "picked files" };
  return openWithDraft(label, { ...options, ...other }, platform);
}
