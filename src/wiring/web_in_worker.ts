// openInWorker(): open() of a page with the engine in a worker, so that the page's own thread never
// computes.

import { pageStore } from "../backend/webgpu/tuning/web_store.ts";
import { openWith } from "../worker/remote.ts";
import type { WorkerModel, WorkerOptions } from "../worker/types.ts";
import { startEngine } from "./web_engine_script.ts";
import { portOf } from "./web_files_port.ts";
import type { PageOptions, Place, SentPlace } from "./web_open.ts";

/**
 * Opens a model in a worker of its own.
 * @param weights as for open(); a Files of your own is read through messages
 * @throws as open(); DeviceError where the worker does not start, HotsetError where it ends
 */
export async function openInWorker(
  weights: Place,
  { script, tokenizer, ...options }: PageOptions & WorkerOptions = {},
): Promise<WorkerModel> {
  options.signal?.throwIfAborted();
  const worker = await startEngine(script);
  const own: ReturnType<typeof portOf>[] = [];
  const sent = (place: Place): SentPlace => {
    if (typeof place !== "object" || !("read" in place)) return place;
    const made = portOf(place);
    own.push(made);
    return made.sent;
  };
  const place = sent(weights);
  const all = { ...options, ...(tokenizer !== undefined && { tokenizer: sent(tokenizer) }) };
  const transfer = own.map((made) => made.sent.port);
  try {
    return await openWith(worker, place, all, { base: document.baseURI, store: pageStore(), transfer });
  } catch (error) {
    for (const made of own) await made.end(); // the worker may have ended before
    throw error;
  }
}
