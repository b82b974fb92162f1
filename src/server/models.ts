// GET /v1/models and /v1/models/:id: the models that are served, in the shape that each
// API's clients expect.

import type { Context } from "hono";
import { HttpError } from "./errors.ts";
import { isAnthropic } from "./paths.ts";
import { type ModelCard, stateOf } from "./served.ts";
import type { Service } from "./service.ts";

/** Names of models: "mistralai/Mistral-Small-Instruct:free", "~/models/a.gguf". */
const NAME = /^[\w~@][\w.:@/+~ -]*$/;

export async function listModels(c: Context, { models }: Service): Promise<Response> {
  await models.look();
  const cards = models.cards();
  const shape = isAnthropic(c) ? anthropic : openai;
  const data = cards.map((card) => ({ ...shape(card), ...(!models.one && ownFields(card)) }));
  // total_count and links are for OpenRouter's client.
  if (!isAnthropic(c)) return c.json({ object: "list", data, total_count: data.length, links: { next: null } });
  return c.json({ data, first_id: cards[0]!.id, last_id: cards.at(-1)!.id, has_more: false });
}

/**
 * The model that a request with this name would get: any name is found where there is one model.
 * Some clients look a name up before they use it.
 */
export async function oneModel(c: Context, { models }: Service): Promise<Response> {
  const id = c.req.param("id") ?? "";
  if (!NAME.test(id) || id.split("/").includes("..")) {
    throw new HttpError(404, `expected the name of a model, found ${JSON.stringify(id)}`, "model_not_found");
  }
  await models.look(id);
  const card = models.card(models.find(id));
  const shape = isAnthropic(c) ? anthropic : openai;
  return c.json({ ...shape(card), ...(!models.one && ownFields(card)), id });
}

/** The state of a model that is not always loaded; `status` as llama-server's clients know it. */
function ownFields(card: ModelCard): object {
  const { state, progress } = card;
  const loaded = state === "ready" ? "loaded" : state === "loading" ? "loading" : "unloaded";
  const status = {
    value: loaded,
    ...(state === "loading" && { progress }),
    ...(state === "failed" && { failed: true }),
  };
  return { ...stateOf(card), status };
}

/** The supported parameters under OpenRouter's names; src/server/README.md lists all fields. */
const PARAMETERS = [
  ...["temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty"],
  ...["max_tokens", "max_completion_tokens", "logit_bias", "logprobs", "top_logprobs", "seed", "stop"],
  ...["response_format", "structured_outputs", "tools", "tool_choice", "parallel_tool_calls"],
];

function openai({ id: name, created, context: known }: ModelCard): object {
  const context = known ?? undefined; // left out
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

/** Anthropic's client declares all of these; those that may be null are unknown here. */
function anthropic({ id: name, created, context }: ModelCard): object {
  return {
    type: "model",
    id: name,
    display_name: name,
    created_at: new Date(created * 1000).toISOString(),
    max_input_tokens: context,
    max_tokens: context,
    lifecycle: "active",
    deprecated_at: null,
    retires_at: null,
    line: null,
    capabilities: null,
  };
}
