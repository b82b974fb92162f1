// GET /v1/models and /v1/models/:id: the one model that is served, in the shape of whoever asks.

import type { Context } from "hono";
import type { ChatModel } from "../engine/chat_api.ts";
import { HttpError } from "./errors.ts";
import type { Service } from "./service.ts";

export function listModels(c: Context, { model }: Service): Response {
  if (!isAnthropic(c)) return c.json({ object: "list", data: [openai(model)] });
  return c.json({ data: [anthropic(model)], first_id: model.name, last_id: model.name, has_more: false });
}

export function oneModel(c: Context, { model }: Service): Response {
  const id = c.req.param("id");
  if (id === model.name) return c.json(isAnthropic(c) ? anthropic(model) : openai(model));
  throw new HttpError(404, `there is no model ${JSON.stringify(id)}; this server has ${model.name}`, "model_not_found");
}

/** Anthropic's clients always send their version; the path is the same in both APIs. */
export function isAnthropic(c: Context): boolean {
  return c.req.header("anthropic-version") !== undefined;
}

function openai({ name, created, context }: ChatModel): object {
  return {
    id: name,
    object: "model",
    created,
    owned_by: "hotset",
    // vLLM's and Mistral's names for the context; Mistral's client insists on the capabilities.
    max_model_len: context,
    max_context_length: context,
    capabilities: {
      completion_chat: true,
      completion_fim: false,
      function_calling: true,
      fine_tuning: false,
      vision: false,
    },
  };
}

function anthropic({ name, created }: ChatModel): object {
  return { type: "model", id: name, display_name: name, created_at: new Date(created * 1000).toISOString() };
}
