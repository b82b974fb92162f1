// What Ollama's clients ask about models: the version, the list, what is loaded, one card; and
// embeddings.

import type { Context } from "hono";
import { allBytes, draftBytes } from "../engine/places.ts";
import { fieldsOf, type Json, required, wrong } from "./fields.ts";
import { readJson } from "./json.ts";
import { type ModelCard, stateOf } from "./served.ts";
import type { Service } from "./service.ts";
import { keepAliveOf, nameIn } from "./wanted.ts";

/** Clients compare it with the version that brought what they use: tools, thinking, formats. */
const VERSION = "0.30.0";
const MOST_INPUTS = 512;

export function ollamaVersion(c: Context): Response {
  return c.json({ version: VERSION });
}

/** GET /api/tags: all models; those that are not always loaded with their state. */
export async function ollamaTags(c: Context, { models }: Service): Promise<Response> {
  await models.look();
  return c.json({ models: models.cards().map((card) => ({ ...listed(card), ...(!models.one && stateOf(card)) })) });
}

/** As Ollama says that a model is not unloaded by itself. */
const NEVER = "2318-01-01T00:00:00Z";

/** GET /api/ps: the models that are loaded. */
export function ollamaLoaded(c: Context, { models }: Service): Response {
  const loaded = models.cards().flatMap((card) => {
    if (card.model === null) return [];
    const { memory, speculation } = card.model.metrics();
    const more = {
      expires_at: card.expires?.toISOString() ?? NEVER,
      size_vram: allBytes(memory) + (card.model.view?.head.main === "gpu" ? 0 : draftBytes(speculation)),
      context_length: card.model.context,
    };
    return [{ ...listed(card), ...more }];
  });
  return c.json({ models: loaded });
}

/** POST /api/show: of any name if there is one model, because requests may use any name. */
export async function ollamaShow(c: Context, { models, bodyLimit }: Service): Promise<Response> {
  const name = nameIn(c, await readJson(c.req.raw, bodyLimit));
  await models.look(name);
  const card = models.card(models.find(name));
  return c.json({
    modelfile: `FROM ${card.id}\n`,
    parameters: "",
    template: "",
    details: DETAILS,
    model_info: { "general.architecture": "moe", ...(card.context !== null && { "moe.context_length": card.context }) },
    capabilities: ["completion", "tools", "thinking"],
    modified_at: modified(card),
  });
}

/** POST /api/embed: several texts. */
export async function ollamaEmbed(c: Context, service: Service): Promise<Response> {
  const json = await readJson(c.req.raw, service.bodyLimit);
  const body = fieldsOf(json);
  if (body.has("dimensions")) throw wrong("dimensions", "is not supported: vectors have the model's width", undefined);
  const input = required(body.raw("input"), body, "input");
  const texts = typeof input === "string" ? [input] : (body.array("input", MOST_INPUTS) ?? []);
  const started = performance.now();
  const { name, vectors, tokens } = await embedded(c, service, json, texts);
  return c.json({
    model: nameIn(c, json) ?? name,
    embeddings: vectors,
    total_duration: Math.round((performance.now() - started) * 1e6),
    load_duration: 0,
    prompt_eval_count: tokens,
  });
}

/** POST /api/embeddings, the older one: one text. */
export async function ollamaEmbedding(c: Context, service: Service): Promise<Response> {
  const json = await readJson(c.req.raw, service.bodyLimit);
  const body = fieldsOf(json);
  const { vectors } = await embedded(c, service, json, [required(body.raw("prompt"), body, "prompt")]);
  return c.json({ embedding: vectors[0] });
}

async function embedded(c: Context, service: Service, json: Json, texts: readonly unknown[]) {
  const work = await service.begin(c.req.raw, { name: nameIn(c, json), keepMs: keepAliveOf(json) });
  try {
    const vectors: number[][] = [];
    let tokens = 0;
    for (const [i, text] of texts.entries()) {
      if (typeof text !== "string" || text === "")
        throw wrong(`input[${i}]`, "expected a text that is not empty", text);
      const result = await work.model.embed(text, work.signal);
      vectors.push([...result.embedding]);
      tokens += result.tokens;
    }
    return { name: work.name, vectors, tokens };
  } finally {
    work.end();
  }
}

const DETAILS = {
  parent_model: "",
  format: "",
  family: "moe",
  families: ["moe"],
  parameter_size: "",
  quantization_level: "",
};

function listed(card: ModelCard): object {
  return {
    name: card.id,
    model: card.id,
    modified_at: modified(card),
    size: card.bytes ?? 0,
    digest: "",
    details: DETAILS,
  };
}

function modified({ created }: ModelCard): string {
  return new Date(created * 1000).toISOString();
}
