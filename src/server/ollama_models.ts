// What Ollama's clients ask about models: the version, the list, what is loaded, one card; and
// embeddings.

import type { Context } from "hono";
import type { ChatModel } from "../engine/chat_api.ts";
import { type Fields, fieldsOf, required, wrong } from "./fields.ts";
import { readJson } from "./json.ts";
import type { Service } from "./service.ts";

/** Clients compare it with the version that brought what they use: tools, thinking, formats. */
const VERSION = "0.30.0";
const MOST_INPUTS = 512;

export function ollamaVersion(c: Context): Response {
  return c.json({ version: VERSION });
}

/** GET /api/tags */
export function ollamaTags(c: Context, { model }: Service): Response {
  return c.json({ models: [card(model)] });
}

/** GET /api/ps: the model is always loaded. */
export function ollamaLoaded(c: Context, { model }: Service): Response {
  const { weights, kv, scratch } = model.metrics().memory;
  const loaded = {
    expires_at: "2318-01-01T00:00:00Z",
    size_vram: weights + kv + scratch,
    context_length: model.context,
  };
  return c.json({ models: [{ ...card(model), ...loaded }] });
}

/** POST /api/show: of any name, because requests may use any name. */
export async function ollamaShow(c: Context, { model, bodyLimit }: Service): Promise<Response> {
  await readJson(c.req.raw, bodyLimit);
  return c.json({
    modelfile: `FROM ${model.name}\n`,
    parameters: "",
    template: "",
    details: DETAILS,
    model_info: { "general.architecture": "moe", "moe.context_length": model.context },
    capabilities: ["completion", "tools", "thinking"],
    modified_at: modified(model),
  });
}

/** POST /api/embed: several texts. */
export async function ollamaEmbed(c: Context, service: Service): Promise<Response> {
  const body = fieldsOf(await readJson(c.req.raw, service.bodyLimit));
  if (body.has("dimensions")) throw wrong("dimensions", "is not supported: vectors have the model's width", undefined);
  const input = required(body.raw("input"), body, "input");
  const texts = typeof input === "string" ? [input] : (body.array("input", MOST_INPUTS) ?? []);
  const started = performance.now();
  const { vectors, tokens } = await embedded(c, service, texts);
  return c.json({
    model: nameIn(body, service),
    embeddings: vectors,
    total_duration: Math.round((performance.now() - started) * 1e6),
    load_duration: 0,
    prompt_eval_count: tokens,
  });
}

/** POST /api/embeddings, the older one: one text. */
export async function ollamaEmbedding(c: Context, service: Service): Promise<Response> {
  const body = fieldsOf(await readJson(c.req.raw, service.bodyLimit));
  const { vectors } = await embedded(c, service, [required(body.raw("prompt"), body, "prompt")]);
  return c.json({ embedding: vectors[0] });
}

async function embedded(c: Context, service: Service, texts: readonly unknown[]) {
  const work = service.begin(c.req.raw);
  try {
    const vectors: number[][] = [];
    let tokens = 0;
    for (const [i, text] of texts.entries()) {
      if (typeof text !== "string" || text === "")
        throw wrong(`input[${i}]`, "expected a text that is not empty", text);
      const result = await service.model.embed(text, work.signal);
      vectors.push([...result.embedding]);
      tokens += result.tokens;
    }
    return { vectors, tokens };
  } finally {
    work.end();
  }
}

function nameIn(body: Fields, { model }: Service): string {
  return body.string("model", 1024) || model.name;
}

const DETAILS = {
  parent_model: "",
  format: "",
  family: "moe",
  families: ["moe"],
  parameter_size: "",
  quantization_level: "",
};

function card(model: ChatModel): object {
  const { name } = model;
  return {
    name,
    model: name,
    modified_at: modified(model),
    size: model.metrics().memory.weights,
    digest: "",
    details: DETAILS,
  };
}

function modified({ created }: ChatModel): string {
  return new Date(created * 1000).toISOString();
}
