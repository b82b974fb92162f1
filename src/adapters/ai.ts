// hotset/ai: a loaded model as a language model and an embedding model of the AI SDK, in this
// process, in Node and in pages.

import type {
  EmbeddingModelV4,
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4StreamPart,
  LanguageModelV4Usage,
  SharedV4Warning,
} from "@ai-sdk/provider";
import type { ChatEvent, ChatFinish, ChatModel } from "../engine/chat_api.ts";
import type { Model } from "../engine/model_api.ts";
import { type AnswerPart, answerParts, contentOf } from "./ai_answer.ts";
import { type Call, callOf } from "./ai_call.ts";
import { servingOf } from "./serving.ts";

export type { HotsetProviderOptions } from "./ai_call.ts";

/** What a model is called. */
export interface HotsetOptions {
  /** The name that telemetry and results show. Default: that of the model's folder. */
  readonly modelId?: string;
}

const PROVIDER = "hotset";

/** A model of the AI SDK, and the ways to the other ones. */
export interface Hotset {
  /**
   * A language model: generateText({ model: hotset(model), ... }). Answers of several calls are
   * computed side by side; closing `model` ends them.
   */
  (model: Model | ChatModel, options?: HotsetOptions): LanguageModelV4;
  /** The same as calling it. */
  languageModel(model: Model | ChatModel, options?: HotsetOptions): LanguageModelV4;
  /** An embedding model: embedMany({ model: hotset.embeddingModel(model), ... }). */
  embeddingModel(model: Model | ChatModel, options?: HotsetOptions): EmbeddingModelV4;
}

/** A language model of a loaded model: `hotset(model)`. */
export const hotset: Hotset = Object.assign(
  (model: Model | ChatModel, options?: HotsetOptions) => languageModel(model, options),
  { languageModel, embeddingModel },
);

function languageModel(model: Model | ChatModel, { modelId }: HotsetOptions = {}): LanguageModelV4 {
  const chat = servingOf(model);
  const name = modelId ?? chat.name;
  return {
    specificationVersion: "v4",
    provider: PROVIDER,
    modelId: name,
    supportedUrls: {}, // the SDK downloads files and hands over their contents
    async doGenerate(options) {
      const begun = await begin(chat, options);
      const parts: AnswerPart[] = [];
      for await (const part of answerParts(begun.events)) parts.push(part);
      const finish = finishOf(parts);
      const response = responseOf(name);
      return {
        content: contentOf(parts),
        finishReason: reasonOf(finish),
        usage: usageOf(finish),
        warnings: begun.warnings,
        providerMetadata: metadataOf(finish),
        request: { body: begun.call },
        response,
      };
    },
    async doStream(options) {
      const begun = await begin(chat, options);
      const stream = streamOf(begun, name, options.includeRawChunks === true, options.abortSignal);
      return { stream, request: { body: begun.call } };
    },
  };
}

interface Begun {
  readonly call: Call;
  readonly events: AsyncIterable<ChatEvent>;
  readonly warnings: SharedV4Warning[];
  /** Ends the answer, also where `events` were never read. */
  close(): Promise<unknown>;
}

/** Starts an answer. Rejects as fetch() would: before anything is answered. */
async function begin(chat: ChatModel, options: LanguageModelV4CallOptions): Promise<Begun> {
  const call = callOf(options);
  const warnings = [...call.warnings];
  const events = chat.chat(call.messages, {
    ...call.options,
    ...(options.abortSignal && { signal: options.abortSignal }),
    onWarnings: (found) => warnings.push(...found.map((message) => ({ type: "other" as const, message }))),
  });
  // Warnings come before the first event, and so do errors of the request.
  const first = await events.next();
  return { call, events: withFirst(first, events), warnings, close: async () => events.return?.() };
}

async function* withFirst(
  first: IteratorResult<ChatEvent>,
  rest: AsyncIterableIterator<ChatEvent>,
): AsyncGenerator<ChatEvent> {
  try {
    if (!first.done) yield first.value;
    yield* rest;
  } finally {
    await rest.return?.();
  }
}

function streamOf(
  { events, warnings, close }: Begun,
  name: string,
  raw: boolean,
  signal: AbortSignal | undefined,
): ReadableStream<LanguageModelV4StreamPart> {
  const parts = streamParts(events, warnings, name, raw);
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await parts.next();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (error) {
        if (signal?.aborted) return controller.error(error);
        controller.enqueue({ type: "error", error });
        controller.close();
      }
    },
    async cancel() {
      await parts.return(undefined);
      await close();
    },
  });
}

async function* streamParts(
  events: AsyncIterable<ChatEvent>,
  warnings: SharedV4Warning[],
  name: string,
  raw: boolean,
): AsyncGenerator<LanguageModelV4StreamPart> {
  yield { type: "stream-start", warnings };
  yield { type: "response-metadata", ...responseOf(name) };
  for await (const part of answerParts(events)) {
    if (part.type === "event") {
      if (raw) yield { type: "raw", rawValue: part.event };
    } else if (part.type === "answer-end") {
      const { finish } = part;
      const providerMetadata = metadataOf(finish);
      yield { type: "finish", usage: usageOf(finish), finishReason: reasonOf(finish), providerMetadata };
    } else yield part;
  }
}

let answers = 0;

function responseOf(modelId: string): { id: string; timestamp: Date; modelId: string } {
  const timestamp = new Date();
  return { id: `hotset-${timestamp.getTime().toString(36)}-${++answers}`, timestamp, modelId };
}

function finishOf(parts: readonly AnswerPart[]): ChatFinish {
  const last = parts.at(-1);
  if (last?.type !== "answer-end") throw new Error("the answer ended without a finish event");
  return last.finish;
}

function reasonOf({ reason }: ChatFinish) {
  return { unified: reason === "tool_calls" ? ("tool-calls" as const) : reason, raw: reason };
}

function usageOf({ usage }: ChatFinish): LanguageModelV4Usage {
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens = 0 } = usage;
  return {
    inputTokens: {
      total: promptTokens,
      noCache: promptTokens - cachedTokens,
      cacheRead: cachedTokens,
      cacheWrite: undefined,
    },
    outputTokens: { total: completionTokens, text: completionTokens - reasoningTokens, reasoning: reasoningTokens },
  };
}

/** With the seed the same answer can be asked for again. */
function metadataOf({ seed, stopSequence, timings }: ChatFinish) {
  return { hotset: { seed, stopSequence: stopSequence ?? null, timings: { ...timings } } };
}

function embeddingModel(model: Model | ChatModel, { modelId }: HotsetOptions = {}): EmbeddingModelV4 {
  const chat = servingOf(model);
  return {
    specificationVersion: "v4",
    provider: PROVIDER,
    modelId: modelId ?? chat.name,
    maxEmbeddingsPerCall: Number.POSITIVE_INFINITY,
    supportsParallelCalls: true,
    async doEmbed({ values, abortSignal }) {
      const embeddings: number[][] = [];
      let tokens = 0;
      for (const value of values) {
        const embedded = await chat.embed(value, abortSignal);
        embeddings.push([...embedded.embedding]);
        tokens += embedded.tokens;
      }
      return { embeddings, usage: { tokens }, warnings: [] };
    },
  };
}
