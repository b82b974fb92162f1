// POST /v1/messages and /v1/messages/count_tokens: Anthropic's API. anthropic_stream.ts has the
// events of a stream.

import type { Context } from "hono";
import { type Answer, AnswerCollector, wholeCalls } from "./answer.ts";
import { anthropicPrompt, anthropicRequest } from "./anthropic_request.ts";
import { SIGNATURE, stopOf, usageOf } from "./anthropic_shapes.ts";
import { messageEvents, PING } from "./anthropic_stream.ts";
import { errorBody } from "./errors.ts";
import { readJson } from "./json.ts";
import { newId } from "./openai_shapes.ts";
import { namingField } from "./response_formats.ts";
import type { Service } from "./service.ts";
import { event, streamed } from "./sse.ts";
import { nameIn } from "./wanted.ts";

export async function messages(c: Context, service: Service): Promise<Response> {
  const { bodyLimit, keepAliveMs, log } = service;
  const json = await readJson(c.req.raw, bodyLimit);
  const request = anthropicRequest(json);
  const name = nameIn(c, json);
  const work = await service.begin(c.req.raw, { name, stream: request.stream });
  // The name that was asked for: Claude Code drops the thinking of answers by another model.
  const head = { id: newId("msg_"), type: "message", role: "assistant", model: name ?? work.name };
  const options = { ...request.options, signal: work.signal };
  const start = () => wholeCalls(namingField(options.responseFormat, work.model.chat(request.messages, options)));
  if (request.stream) {
    // The first event contains the prompt's length, before anything is computed.
    const count = async () => (await work.loaded()).countTokens(request.messages, request.options);
    const events = messageEvents(start, count, head);
    return streamed(events, {
      keepAliveMs,
      keepAlive: PING,
      log,
      failed: (failure) => event(JSON.stringify(errorBody(failure, "anthropic")), "error"),
      done: work.end,
    });
  }
  try {
    const collector = new AnswerCollector();
    for await (const event of start()) collector.take(event);
    return c.json(message(head, collector.answer));
  } finally {
    work.end();
  }
}

export async function countTokens(c: Context, service: Service): Promise<Response> {
  const json = await readJson(c.req.raw, service.bodyLimit);
  const { messages, options } = anthropicPrompt(json);
  const work = await service.begin(c.req.raw, { name: nameIn(c, json) });
  try {
    return c.json({ input_tokens: (await work.loaded()).countTokens(messages, options) });
  } finally {
    work.end();
  }
}

function message(head: object, { text, reasoning, calls, finish }: Answer): object {
  return {
    ...head,
    content: [
      ...(reasoning === "" ? [] : [{ type: "thinking", thinking: reasoning, signature: SIGNATURE }]),
      ...(text === "" ? [] : [{ type: "text", text }]),
      ...calls.map((call) => ({ type: "tool_use", id: call.id, name: call.name, input: inputOf(call.arguments) })),
    ],
    ...stopOf(finish),
    usage: usageOf(finish),
  };
}

/**
 * Arguments as an object. Where decoding was not constrained the model may have written anything:
 * then an empty object.
 */
function inputOf(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
  } catch {
    return {};
  }
}
