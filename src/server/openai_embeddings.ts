// POST /v1/embeddings: a vector for each text, as numbers or as base64 of 32-bit floats.

import type { Context } from "hono";
import { type Fields, fieldsOf, required, wrong } from "./fields.ts";
import { readJson } from "./json.ts";
import { checkModel } from "./openai_request.ts";
import { newId } from "./openai_shapes.ts";
import { refuseUnsupported } from "./request_fields.ts";
import { idsOf } from "./sampling.ts";
import type { Service } from "./service.ts";
import { nameIn } from "./wanted.ts";

/** The most that clients send in one request by default. */
const MOST_INPUTS = 512;

export async function embeddings(c: Context, service: Service): Promise<Response> {
  const json = await readJson(c.req.raw, service.bodyLimit);
  const body = fieldsOf(json);
  refuseUnsupported(body, "embeddings");
  checkModel(body);
  const inputs = inputsOf(body);
  const format = body.oneOf("encoding_format", ["float", "base64"]) ?? "float";
  const work = await service.begin(c.req.raw, { name: nameIn(c, json) });
  try {
    const data: object[] = [];
    let tokens = 0;
    for (const [index, input] of inputs.entries()) {
      const result = await work.model.embed(input, work.signal);
      tokens += result.tokens;
      const embedding = format === "base64" ? base64(result.embedding) : [...result.embedding];
      data.push({ object: "embedding", index, embedding });
    }
    const usage = { prompt_tokens: tokens, total_tokens: tokens };
    // Mistral's client requires an id.
    return c.json({ id: newId("embd-"), object: "list", data, model: work.name, usage });
  } finally {
    work.end();
  }
}

function inputsOf(body: Fields): readonly (string | readonly number[])[] {
  const input = required(body.raw("input"), body, "input");
  const expected = "expected a text, token ids, or a list of either, none of them empty";
  const many = Array.isArray(input) && typeof input[0] !== "number" ? input : [input];
  if (many.length === 0) throw wrong("input", expected, input);
  if (many.length > MOST_INPUTS) throw wrong("input", `expected at most ${MOST_INPUTS} inputs`, input);
  return many.map((one: unknown, i) => {
    const path = many === input ? `input[${i}]` : "input";
    if (typeof one === "string" && one !== "") return one;
    if (Array.isArray(one) && one.length > 0) return idsOf(one, path);
    throw wrong(path, expected, one);
  });
}

/** Base64 of little-endian floats, the byte order of every machine that runs this. */
function base64(values: Float32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64");
}
