// openInWorker(): open() of a page with the engine in a worker, so that the page's own thread never
// computes.

import { pageStore } from "../backend/webgpu/tuning/web_store.ts";
import { RequestError } from "../errors.ts";
import { openWith } from "../worker/remote.ts";
import type { WorkerModel, WorkerOptions } from "../worker/types.ts";
import { startEngine } from "./web_engine_script.ts";
import type { PageOptions, Place } from "./web_open.ts";

/**
 * Opens a model in a worker of its own.
 * @param weights as for open(), but for a Files of your own, which cannot be sent
 * @throws as open(); DeviceError where the worker does not start, HotsetError where it ends
 */
export async function openInWorker(
  weights: Place,
  { script, ...options }: PageOptions & WorkerOptions = {},
): Promise<WorkerModel> {
  options.signal?.throwIfAborted();
  for (const place of [weights, options.tokenizer])
    if (typeof place === "object" && "read" in place)
      throw new RequestError(
        "openInWorker(): a Files of your own cannot be sent to the worker; pass a URL, a name or picked files, or use open()",
      );
  return openWith(await startEngine(script), weights, options, { base: document.baseURI, store: pageStore() });
}
