// The types of chatting with a model: messages, tools and structured output in, events out; what the HTTP server is written against.

import type { BackendMemory } from "../backend/ops.ts";
import type { ChatMessage, ToolCall, ToolChoice, ToolDefinition } from "../chat/types.ts";
import type { ExpertStats } from "../experts/stats.ts";
import type { GenerateOptions, GenerationResult, TokenLogprob } from "./api.ts";

export type { ChatMessage, ToolCall, ToolChoice, ToolDefinition };

export type ResponseFormat =
  | { readonly type: "text" }
  | { readonly type: "json" }
  | { readonly type: "json_schema"; readonly schema: unknown; readonly strict: boolean }
  | { readonly type: "regex"; readonly pattern: string }
  | { readonly type: "ebnf"; readonly grammar: string }
  /** llama.cpp's form of grammars. */
  | { readonly type: "gbnf"; readonly grammar: string }
  /** One of these texts. */
  | { readonly type: "choice"; readonly choices: readonly string[] };

export interface ChatOptions extends GenerateOptions {
  readonly tools?: readonly ToolDefinition[];
  /** Default "auto" where there are tools. */
  readonly toolChoice?: ToolChoice;
  /** Whether an answer may hold several tool calls. Default true. */
  readonly parallelToolCalls?: boolean;
  readonly responseFormat?: ResponseFormat;
  /**
   * Told before the first event what of the response format constrains nothing: keywords and formats of a schema that are not
   * known, each as a sentence. Not called where there is nothing to tell.
   */
  readonly onWarnings?: (warnings: readonly string[]) => void;
  /** The last message is the assistant's and is not finished: the answer goes on from its end. Default false. */
  readonly continueAssistant?: boolean;
  /** What the folder's chat template is given beside the conversation, by name: { enable_thinking: false }. */
  readonly templateVariables?: Readonly<Record<string, unknown>>;
}

/** What became of one answer. Times are in ms, see GenerationResult. */
export interface ChatFinish {
  readonly type: "finish";
  readonly reason: "stop" | "length" | "tool_calls";
  /** The one of the `stop` texts that ended it. */
  readonly stopSequence?: string;
  /** cachedTokens: those of promptTokens that were not computed again. */
  readonly usage: {
    readonly promptTokens: number;
    readonly cachedTokens: number;
    readonly completionTokens: number;
  };
  readonly seed: number;
  readonly timings: GenerationResult["timings"];
}

/**
 * What an answer yields, in order: texts and tool calls (each `tool_call` followed by its arguments), then one `finish`.
 * Calls come when they are whole: one that the answer's end cut off is left out. Log probabilities are those of the tokens
 * since the last event that had any.
 */
export type ChatEvent =
  | { readonly type: "text"; readonly text: string; readonly logprobs?: readonly TokenLogprob[] }
  /** `index` counts the calls of the answer from 0. */
  | { readonly type: "tool_call"; readonly index: number; readonly id: string; readonly name: string }
  | { readonly type: "tool_arguments"; readonly index: number; readonly text: string }
  | ChatFinish;

/** What a ChatModel does at this moment, and has done since it was made. */
export interface ChatMetrics {
  /** Requests that wait for their turn, and those that have it. */
  readonly queued: number;
  readonly running: number;
  /** Those of the running ones that wait for room in the KV cache, before they begin or because they were suspended. */
  readonly waiting: number;
  /** Positions of the KV cache: that it can have in all, that sessions hold, and that are only kept in case they are of use. */
  readonly kv: { readonly capacity: number; readonly used: number; readonly cached: number };
  /** How often an answer gave up its place in the KV cache to an older one, and tokens that were computed again for that. */
  readonly suspensions: number;
  readonly recomputedTokens: number;
  /** Bytes held. */
  readonly memory: BackendMemory;
  /** What became of experts; null where all are in memory. */
  readonly experts: ExpertStats | null;
}

export interface ChatModel {
  /** What the model is called: the name of its folder. */
  readonly name: string;
  /** When it was opened, in seconds since 1970. */
  readonly created: number;
  /** Positions that a prompt and its answer may take. */
  readonly context: number;
  /**
   * Answers a conversation. Returning from the iteration, or aborting `signal`, gives up everything that the answer holds.
   * @throws RequestError (before the first event) for what cannot be done, BusyError where the queue is full
   */
  chat(messages: readonly ChatMessage[], options?: ChatOptions): AsyncIterableIterator<ChatEvent>;
  /**
   * Continues a prompt as it is. `echo`: the prompt's text comes first, as text events, with its tokens' log probabilities
   * where they are asked for; the first token has none: its `logprob` is NaN and its `top` empty. maxTokens may be 0.
   */
  complete(
    prompt: string | readonly number[],
    options?: ChatOptions & { readonly echo?: boolean },
  ): AsyncIterableIterator<ChatEvent>;
  /** Length of the prompt that chat() makes of `messages`. @throws RequestError as chat() does */
  countTokens(
    messages: readonly ChatMessage[],
    options?: Pick<ChatOptions, "tools" | "toolChoice" | "templateVariables">,
  ): number;
  /** `special`: with BOS in front, where the model's prompts begin with it. */
  tokenize(text: string, special: boolean): number[];
  detokenize(ids: readonly number[]): string;
  /** Pooled hidden state [D] of a text, and how many tokens it has. */
  embed(
    input: string | readonly number[],
    signal?: AbortSignal,
  ): Promise<{ readonly embedding: Float32Array; readonly tokens: number }>;
  metrics(): ChatMetrics;
}
