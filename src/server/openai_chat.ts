// POST /v1/chat/completions: messages in, one or several answers out, whole or as a
// stream of deltas.

import type { Context } from "hono";
import type { ChatEvent, ChatFinish, ToolCall } from "../engine/chat_api.ts";
import { type Answer, AnswerCollector, wholeCalls } from "./answer.ts";
import { readJson } from "./json.ts";
import { type Indexed, together } from "./many.ts";
import { type OpenaiChatRequest, openaiChatRequest } from "./openai_request.ts";
import { chatLogprobs, newId, now, streamFailure, type UsageWanted, usageOf, usageWanted } from "./openai_shapes.ts";
import { namingField } from "./response_formats.ts";
import { defined, seedOf } from "./sampling.ts";
import type { Service } from "./service.ts";
import { event, streamed } from "./sse.ts";
import { nameIn } from "./wanted.ts";

export async function chatCompletions(c: Context, service: Service): Promise<Response> {
  const json = await readJson(c.req.raw, service.bodyLimit);
  const request = openaiChatRequest(json);
  const work = await service.begin(c.req.raw, { name: nameIn(c, json), stream: request.stream });
  const { name } = work;
  const head = { id: newId("chatcmpl-"), created: now(), model: name, system_fingerprint: `hotset-${name}` };
  const starts = Array.from({ length: request.n }, (_, i) => () => {
    const options = { ...request.options, ...seedOf(request.options.seed, i), signal: work.signal };
    return wholeCalls(namingField(options.responseFormat, work.model.chat(request.messages, options)));
  });
  const events = together(starts, service.answersAtOnce);
  if (request.stream) {
    const { keepAliveMs, log } = service;
    const shape = { ...head, object: "chat.completion.chunk" };
    const failed = streamFailure(c, shape);
    const usage = usageWanted(c, request);
    return streamed(chunks(events, shape, { ...request, usage }), { keepAliveMs, log, failed, done: work.end });
  }
  try {
    const collectors = Array.from(starts, () => new AnswerCollector());
    for await (const { index, event } of events) collectors[index]!.take(event);
    const answers = collectors.map(({ answer }) => answer);
    return c.json({
      ...head,
      object: "chat.completion",
      choices: answers.map((answer, index) => choice(answer, index, request)),
      usage: usageOf(
        answers.map(({ finish }) => finish),
        request.n,
      ),
    });
  } finally {
    work.end();
  }
}

function choice(
  { text, reasoning, logprobs, calls, finish }: Answer,
  index: number,
  request: OpenaiChatRequest,
): object {
  const message = {
    role: "assistant",
    content: text === "" && calls.length > 0 ? null : text,
    refusal: null,
    ...(reasoning !== "" && request.reasons && { reasoning_content: reasoning }),
    ...(calls.length > 0 && { tool_calls: calls.map(callShape) }),
  };
  return {
    index,
    message,
    logprobs: chatLogprobs(logprobs, request.options.logprobs !== undefined),
    finish_reason: finish.reason,
    seed: finish.seed,
  };
}

function callShape({ id, name, arguments: text }: ToolCall): object {
  return { id, type: "function", function: { name, arguments: text } };
}

/**
 * The stream: a first delta with the role, then reasoning, text and calls, a last one with the
 * finish reason; and usage if wanted.
 */
async function* chunks(
  events: AsyncIterable<Indexed<ChatEvent>>,
  head: object,
  request: OpenaiChatRequest & { readonly usage: UsageWanted },
): AsyncGenerator<string> {
  const wanted = request.options.logprobs !== undefined;
  const begun = new Set<number>();
  // by choice: the last one
  const calls = new Map<number, { readonly id: string; readonly name: string }>();
  const finished: ChatFinish[] = [];
  let left = request.n;
  // `usage` is left out rather than null: Mistral's client rejects a chunk with `usage: null`.
  const chunk = (fields: object): string => event(JSON.stringify({ ...head, ...fields }));
  const delta = (index: number, change: object, more: object = {}): object => ({
    choices: [{ index, delta: change, logprobs: null, finish_reason: null, ...more }],
  });
  for await (const { index, event } of events) {
    if (!begun.has(index)) yield chunk(delta(index, { role: "assistant", content: "" }));
    begun.add(index);
    if (event.type === "finish") {
      finished[index] = event;
      const last = --left === 0 && request.usage === "with the last chunk";
      const usage = last ? { usage: usageOf(finished, request.n) } : {};
      yield chunk({ ...delta(index, {}, { finish_reason: event.reason, seed: event.seed }), ...usage });
    } else if (event.type === "tool_call") {
      calls.set(index, event); // sent with its arguments
    } else if (event.type === "tool_arguments") {
      const { id, name } = calls.get(index)!;
      const call = callShape({ id, name, arguments: event.text });
      yield chunk(delta(index, { tool_calls: [{ index: event.index, ...call }] }));
    } else if (event.type === "reasoning") {
      if (request.reasons) yield chunk(delta(index, { reasoning_content: event.text }));
    } else if (event.text !== "" || (wanted && event.logprobs?.length)) {
      yield chunk(delta(index, { content: event.text }, defined({ logprobs: chatLogprobs(event.logprobs, wanted) })));
    }
  }
  if (request.usage === "in a chunk of its own") yield chunk({ choices: [], usage: usageOf(finished, request.n) });
  yield event("[DONE]");
}
