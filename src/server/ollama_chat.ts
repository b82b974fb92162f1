// Ollama's /api/chat and /api/generate: an answer as lines of JSON, or as one object.

import type { Context } from "hono";
import type { ChatEvent, ChatFinish } from "../engine/chat_api.ts";
import { type Answer, AnswerCollector, wholeCalls } from "./answer.ts";
import { errorBody } from "./errors.ts";
import type { Json } from "./fields.ts";
import { readJson } from "./json.ts";
import { type OllamaRequest, ollamaChatRequest, ollamaGenerateRequest } from "./ollama_request.ts";
import { namingField } from "./response_formats.ts";
import type { Service } from "./service.ts";
import { streamed } from "./sse.ts";
import { nameIn, type Wanted } from "./wanted.ts";

/** The part of an answer that a line holds, in the shape of its endpoint. */
type Shape = (part: {
  readonly text?: string;
  readonly thinking?: string;
  readonly calls?: readonly object[];
}) => object;

const chatShape: Shape = ({ text = "", thinking, calls }) => ({
  message: {
    role: "assistant",
    content: text,
    ...(thinking && { thinking }),
    ...(calls?.length && { tool_calls: calls }),
  },
});

const generateShape: Shape = ({ text = "", thinking, calls }) => ({
  response: text,
  ...(thinking && { thinking }),
  ...(calls?.length && { tool_calls: calls }),
});

export async function ollamaChat(c: Context, service: Service): Promise<Response> {
  return answer(c, service, ollamaChatRequest, chatShape);
}

export async function ollamaGenerate(c: Context, service: Service): Promise<Response> {
  return answer(c, service, ollamaGenerateRequest, generateShape);
}

async function answer(
  c: Context,
  service: Service,
  read: (json: Json) => OllamaRequest,
  shape: Shape,
): Promise<Response> {
  const json = await readJson(c.req.raw, service.bodyLimit);
  const request = read(json);
  const { messages, prompt, options, keepMs } = request;
  const name = nameIn(c, json);
  const head = (id: string) => (): object => ({
    model: name ?? id, // clients look their own name for the model up in the answer
    created_at: new Date().toISOString(),
  });
  const started = performance.now();
  if (messages.length === 0 && prompt === null) {
    const reason = await loadOnly(c, service, { name, keepMs });
    return c.json({ ...head(service.models.find(name))(), ...shape({}), done: true, done_reason: reason });
  }
  const work = await service.begin(c.req.raw, { name, stream: request.stream, keepMs });
  const given = { ...options, signal: work.signal };
  const events = prompt === null ? work.model.chat(messages, given) : work.model.complete(prompt, given);
  const calls = wholeCalls(namingField(given.responseFormat, events));
  const last = (finish: ChatFinish): object => ({ done: true, ...ending(finish, performance.now() - started) });
  if (request.stream) {
    const { keepAliveMs, log } = service;
    const failed = (failure: Parameters<typeof errorBody>[0]): string => line(errorBody(failure, "ollama"));
    return streamed(lines(calls, head(work.name), shape, last), {
      keepAliveMs,
      keepAlive: "", // a line of its own would be read as an answer
      contentType: "application/x-ndjson",
      log,
      failed,
      done: work.end,
    });
  }
  try {
    const collector = new AnswerCollector();
    for await (const event of calls) collector.take(event);
    const { answer } = collector;
    return c.json({ ...head(work.name)(), ...shape(partOf(answer)), ...last(answer.finish) });
  } finally {
    work.end();
  }
}

/** Without messages the client wants the model to be loaded; with a keep_alive of 0, unloaded. */
async function loadOnly(c: Context, service: Service, wanted: Wanted): Promise<"load" | "unload"> {
  const { models } = service;
  if (wanted.keepMs === 0) {
    models.keepFor(models.find(wanted.name), 0);
    return "unload";
  }
  const work = await service.begin(c.req.raw, wanted);
  try {
    await work.loaded();
    return "load";
  } finally {
    work.end();
  }
}

function partOf({ text, reasoning, calls }: Answer) {
  return { text, thinking: reasoning, calls: calls.map(callShape) };
}

function callShape({
  id,
  name,
  arguments: text,
}: {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}) {
  return { id, function: { name, arguments: JSON.parse(text) as unknown } };
}

async function* lines(
  events: AsyncIterable<ChatEvent>,
  head: () => object,
  shape: Shape,
  last: (finish: ChatFinish) => object,
): AsyncGenerator<string> {
  let call: { readonly id: string; readonly name: string } | null = null;
  const part = (fields: Parameters<Shape>[0]): string => line({ ...head(), ...shape(fields), done: false });
  for await (const event of events) {
    switch (event.type) {
      case "text":
        if (event.text !== "") yield part({ text: event.text });
        break;
      case "reasoning":
        yield part({ thinking: event.text });
        break;
      case "tool_call":
        call = event;
        break;
      case "tool_arguments":
        if (call) yield part({ calls: [callShape({ id: call.id, name: call.name, arguments: event.text })] });
        break;
      case "finish":
        yield line({ ...head(), ...shape({}), ...last(event) });
    }
  }
}

/** Times are in nanoseconds. */
function ending({ reason, usage, timings }: ChatFinish, totalMs: number): object {
  const nanoseconds = (ms: number): number => Math.round(ms * 1e6);
  return {
    done_reason: reason === "length" ? "length" : "stop",
    total_duration: nanoseconds(totalMs),
    load_duration: 0,
    prompt_eval_count: usage.promptTokens,
    prompt_eval_duration: nanoseconds(timings.promptMs),
    eval_count: usage.completionTokens,
    eval_duration: nanoseconds(timings.decodeMs),
  };
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
