// GET /v1/models and /v1/models/:id: the model that is served, in the shape that each
// API's clients expect.

import type { Context } from "hono";
import type { ChatModel } from "../engine/chat_api.ts";
import { HttpError } from "./errors.ts";
import { isAnthropic } from "./paths.ts";
import type { Service } from "./service.ts";

/** Names of models: "mistralai/Mistral-Small-Instruct:free", "~/models/a.gguf". */
const NAME = /^[\w~@][\w.:@/+~ -]*$/;

export function listModels(c: Context, { model }: Service): Response {
  // total_count and links are for OpenRouter's client.
  if (!isAnthropic(c)) return c.json({ object: "list", data: [openai(model)], total_count: 1, links: { next: null } });
  return c.json({ data: [anthropic(model)], first_id: model.name, last_id: model.name, has_more: false });
}

/**
 * Any name is found, because requests may use any name: some clients look a name up before
 * they use it.
 */
export function oneModel(c: Context, { model }: Service): Response {
  const id = c.req.param("id") ?? "";
  if (!NAME.test(id) || id.split("/").includes("..")) {
    throw new HttpError(404, `expected the name of a model, found ${JSON.stringify(id)}`, "model_not_found");
  }
  const card = isAnthropic(c) ? anthropic(model) : openai(model);
  return c.json({ ...card, id });
}

/** The supported parameters under OpenRouter's names; src/server/README.md lists all fields. */
const PARAMETERS = [
  ...["temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty"],
  ...["max_tokens", "max_completion_tokens", "logit_bias", "logprobs", "top_logprobs", "seed", "stop"],
  ...["response_format", "structured_outputs", "tools", "tool_choice", "parallel_tool_calls"],
];

function openai({ name, created, context }: ChatModel): object {
  return {
    id: name,
    object: "model",
    created,
    owned_by: "hotset",
    root: name,
    // Mistral's client distinguishes cards by their type, and requires the capabilities.
    type: "base",
    name,
    max_context_length: context,
    capabilities: {
      completion_chat: true,
      completion_fim: false,
      function_calling: true,
      fine_tuning: false,
      vision: false,
    },
    // vLLM's name for the context.
    max_model_len: context,
    // OpenRouter's client requires all of these.
    context_length: context,
    canonical_slug: name,
    architecture: {
      modality: "text->text",
      input_modalities: ["text"],
      output_modalities: ["text"],
      tokenizer: "Other",
    },
    pricing: { prompt: "0", completion: "0" },
    top_provider: { context_length: context, max_completion_tokens: null, is_moderated: false },
    per_request_limits: null,
    supported_parameters: PARAMETERS,
    default_parameters: null,
    supported_voices: null,
    links: { details: `/v1/models/${name}` },
  };
}

function anthropic({ name, created }: ChatModel): object {
  return { type: "model", id: name, display_name: name, created_at: new Date(created * 1000).toISOString() };
}
