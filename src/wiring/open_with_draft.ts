// Opens a model beside a draft model, which takes its part of the budget first.

import { AUTOMATIC } from "../../kernels/formats/index.ts";
import type { OpenOptions } from "../engine/api.ts";
import { formatBytes } from "../engine/budget.ts";
import { DraftModel } from "../engine/drafter.ts";
import type { Model } from "../engine/model.ts";
import { MemoryError, RequestError, WeightsError } from "../errors.ts";
import { isSynthetic } from "../weights/synthetic.ts";
import { checkOptions } from "./check_options.ts";
import { openModel, type Platform } from "./open.ts";
import { shareBudget } from "./shared_budget.ts";

/** openModel(), with the draft model that the options name. @throws as openModel() */
export async function openWithDraft(where: string, options: OpenOptions, platform: Platform): Promise<Model> {
  const { draft: place, ...own } = options;
  if (place === undefined) return openModel(where, own, platform);
  checkOptions(options);
  if (own.speculation === "off")
    throw new RequestError(`draft: ${place} would draft nothing with speculation off; leave one of them out`);
  if (own.onRoutes)
    throw new RequestError("draft: no tokens are drafted while routes are traced; leave draft or the trace out");
  if (isSynthetic(place))
    throw new RequestError(
      `draft: ${place} has random weights and no words; expected a folder, a GGUF file or the name of a model`,
    );
  const { threads, activations, context, kv, ram, signal, onProgress } = own;
  const shared = { backend: "cpu", speculation: "off", threads, activations, context, kv, ram } as const;
  const settings = Object.fromEntries(Object.entries(shared).filter(([, value]) => value !== undefined));
  const { budget, need, more } = await measured(place, settings, platform).catch(ofDraft);
  if (need.ram >= budget)
    throw new MemoryError(
      `draft: ${place} takes all of the memory budget of ${formatBytes(budget)} (option ram, --ram); choose a smaller draft model`,
    );
  const watched = { ...(signal && { signal }), ...(onProgress && { onProgress }) };
  const model = await openModel(place, { ...settings, ...more, ...need.options, ...watched }, platform).catch(ofDraft);
  try {
    return await openModel(where, { ...own, ram: budget - need.ram }, platform, new DraftModel(place, model));
  } catch (error) {
    await model.close();
    if (!(error instanceof MemoryError)) throw error;
    throw new MemoryError(`${error.message}; the draft model takes ${formatBytes(need.ram)} more`, { cause: error });
  }
}

/**
 * What the draft model takes of the budget. Weights without a format of their own get the
 * smallest: a draft has to be quick, and the tokens do not depend on it.
 */
async function measured(place: string, settings: OpenOptions, platform: Platform) {
  const { ram, measure } = await shareBudget(settings, platform);
  const own = await measure(place);
  if (own.kept) return { budget: ram, need: own, more: {} };
  const more = { weights: AUTOMATIC.at(-1)! };
  const quantized = await shareBudget({ ...settings, ...more }, platform);
  return { budget: ram, need: await quantized.measure(place), more };
}

/** Throws an error of the draft model again, saying that it is the draft model's. */
function ofDraft(error: unknown): never {
  const text = error instanceof Error ? `draft: ${error.message}` : "";
  if (error instanceof WeightsError) throw new WeightsError(text, { cause: error });
  if (error instanceof MemoryError) throw new MemoryError(text, { cause: error });
  if (error instanceof RequestError) throw new RequestError(text, error.detail);
  throw error;
}
