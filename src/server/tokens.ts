// POST /tokenize and /detokenize, for tools that count tokens: with the fields of vLLM
// and of llama.cpp.

import type { Context } from "hono";
import type { ChatModel } from "../engine/chat_api.ts";
import { fieldsOf, type Json, required } from "./fields.ts";
import { readJson } from "./json.ts";
import { idsOf } from "./sampling.ts";
import type { Service } from "./service.ts";
import { nameIn } from "./wanted.ts";

/** Tokenizing blocks the engine's steps: about a second for this many characters. */
const LONGEST_TEXT = 1_000_000;
const MOST_IDS = 1_000_000;

export async function tokenize(c: Context, service: Service): Promise<Response> {
  const json = await readJson(c.req.raw, service.bodyLimit);
  const body = fieldsOf(json);
  const text = body.string("prompt", LONGEST_TEXT) ?? body.string("content", LONGEST_TEXT);
  const special = body.boolean("add_special_tokens") ?? body.boolean("add_special") ?? true;
  const prompt = required(text, body, "prompt");
  return withModel(c, service, json, (model) => {
    const tokens = model.tokenize(prompt, special);
    return { tokens, count: tokens.length, max_model_len: model.context };
  });
}

export async function detokenize(c: Context, service: Service): Promise<Response> {
  const json = await readJson(c.req.raw, service.bodyLimit);
  const body = fieldsOf(json);
  const ids = idsOf(required(body.array("tokens", MOST_IDS), body, "tokens"), "tokens");
  return withModel(c, service, json, (model) => {
    const text = model.detokenize(ids);
    return { prompt: text, content: text };
  });
}

/** Answers with what `compute` makes of the model that the request wants. */
async function withModel(
  c: Context,
  service: Service,
  json: Json,
  compute: (model: ChatModel) => object,
): Promise<Response> {
  const work = await service.begin(c.req.raw, { name: nameIn(c, json) });
  try {
    return c.json(compute(await work.loaded()));
  } finally {
    work.end();
  }
}
