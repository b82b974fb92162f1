// POST /v1/responses: OpenAI's responses API, stateless. Items in, items out, whole or as a stream
// of events.

import type { Context } from "hono";
import type { ChatEvent } from "../engine/chat_api.ts";
import { wholeCalls } from "./answer.ts";
import { readJson } from "./json.ts";
import { namingField } from "./response_formats.ts";
import { type ResponsesEvent, ResponseWriter } from "./responses_items.ts";
import { responsesRequest } from "./responses_request.ts";
import type { Service } from "./service.ts";
import { event, streamed } from "./sse.ts";
import { nameIn } from "./wanted.ts";

export async function responses(c: Context, service: Service): Promise<Response> {
  const json = await readJson(c.req.raw, service.bodyLimit);
  const request = responsesRequest(json);
  const work = await service.begin(c.req.raw, { name: nameIn(c, json), stream: request.stream });
  const options = { ...request.options, signal: work.signal };
  const writer = new ResponseWriter(work.name, request);
  const events = wholeCalls(namingField(options.responseFormat, work.model.chat(request.messages, options)));
  if (request.stream) {
    const { keepAliveMs, log } = service;
    const failed = (failure: Parameters<ResponseWriter["failed"]>[0]): string => text(writer.failed(failure));
    return streamed(texts(events, writer), { keepAliveMs, log, failed, done: work.end });
  }
  try {
    let last: ResponsesEvent | undefined;
    for await (const one of events) for (const made of writer.take(one)) last = made;
    return c.json(last?.response as object);
  } finally {
    work.end();
  }
}

/** POST /v1/responses/input_tokens: the length of a request's prompt. */
export async function countInputTokens(c: Context, service: Service): Promise<Response> {
  const json = await readJson(c.req.raw, service.bodyLimit);
  const { messages, options } = responsesRequest(json);
  const work = await service.begin(c.req.raw, { name: nameIn(c, json) });
  try {
    const tokens = (await work.loaded()).countTokens(messages, options);
    return c.json({ object: "response.input_tokens", input_tokens: tokens });
  } finally {
    work.end();
  }
}

async function* texts(events: AsyncIterable<ChatEvent>, writer: ResponseWriter): AsyncGenerator<string> {
  let begun = false;
  for await (const one of events) {
    // With the first event, so that a request that is refused gets its own status.
    if (!begun) for (const made of writer.begin()) yield text(made);
    begun = true;
    for (const made of writer.take(one)) yield text(made);
  }
}

function text(made: ResponsesEvent): string {
  return event(JSON.stringify(made), made.type);
}
