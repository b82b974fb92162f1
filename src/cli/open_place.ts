// Opening a model for a command: a name is looked up or downloaded, a progress line shows the rest.

import type { OpenOptions } from "../engine/api.ts";
import { type DownloadFlags, modelPlace } from "./model_place.ts";
import { loadingProgress } from "./progress.ts";

/**
 * Opens a model with `opener`.
 * @param place what the user typed: a path, or a name on the model hub
 * @throws as modelPlace() and `opener`, and the reason of the signal
 */
export async function openPlace<T, O extends OpenOptions>(
  opener: (path: string, options: O) => Promise<T>,
  place: string,
  options: O,
  flags: DownloadFlags,
  signal: AbortSignal,
): Promise<T> {
  const path = await modelPlace(place, flags, signal);
  const { draft } = options;
  const drafts = draft !== undefined && { draft: await modelPlace(draft, flags, signal) };
  const progress = loadingProgress(flags.quiet === true);
  const watched = { ...options, ...drafts, onProgress: progress.update, onTuning: progress.tuning, signal };
  return opener(path, watched).finally(progress.end);
}
