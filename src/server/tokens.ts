// POST /tokenize and /detokenize, for tools that count tokens: with the fields of vLLM
// and of llama.cpp.

import type { Context } from "hono";
import { fieldsOf, required } from "./fields.ts";
import { readJson } from "./json.ts";
import { idsOf } from "./sampling.ts";
import type { Service } from "./service.ts";

/** Tokenizing blocks the engine's steps: about a second for this many characters. */
const LONGEST_TEXT = 1_000_000;
const MOST_IDS = 1_000_000;

export async function tokenize(c: Context, { model, bodyLimit }: Service): Promise<Response> {
  const body = fieldsOf(await readJson(c.req.raw, bodyLimit));
  const text = body.string("prompt", LONGEST_TEXT) ?? body.string("content", LONGEST_TEXT);
  const special = body.boolean("add_special_tokens") ?? body.boolean("add_special") ?? true;
  const tokens = model.tokenize(required(text, body, "prompt"), special);
  return c.json({ tokens, count: tokens.length, max_model_len: model.context });
}

export async function detokenize(c: Context, { model, bodyLimit }: Service): Promise<Response> {
  const body = fieldsOf(await readJson(c.req.raw, bodyLimit));
  const text = model.detokenize(idsOf(required(body.array("tokens", MOST_IDS), body, "tokens"), "tokens"));
  return c.json({ prompt: text, content: text });
}
