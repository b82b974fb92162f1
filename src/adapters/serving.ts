// The interface of a model that adapters answer with: the same one each time a model is adapted.

import type { ChatModel } from "../engine/chat_api.ts";
import type { Model } from "../engine/model_api.ts";

const served = new WeakMap<Model, ChatModel>();

/** @throws RequestError for a model without a tokenizer, or a closed one */
export function servingOf(model: Model | ChatModel): ChatModel {
  if (!("serving" in model)) return model;
  const found = served.get(model) ?? model.serving();
  served.set(model, found);
  return found;
}
