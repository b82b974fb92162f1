// The types of chatting with a model: messages, tools and response formats in, events out. The HTTP
// server uses only these.

import type { BackendMemory } from "../backend/ops.ts";
import type { ChatMessage, ReasoningOptions, ToolCall, ToolChoice, ToolDefinition } from "../chat/types.ts";
import type { ExpertStats } from "../experts/stats.ts";
import type { GenerateOptions, SamplingOptions, SpeculationStats } from "./api.ts";
import type { ChatEvent } from "./events.ts";
import type { ModelView } from "./model_view.ts";

export type { ReasoningEvent, ToolArgumentsEvent, ToolCallEvent } from "../chat/reply.ts";
export type { AssistantMessage, JsonSchema, SystemMessage, ToolMessage, UserMessage } from "../chat/types.ts";
export type { ChatEvent, ChatFinish } from "./events.ts";
export type { ChatMessage, ReasoningOptions, ToolCall, ToolChoice, ToolDefinition };

/** What an answer must be: it is enforced while the answer is written. */
export type ResponseFormat =
  | { readonly type: "text" }
  | { readonly type: "json" }
  | { readonly type: "json_schema"; readonly schema: unknown; readonly strict: boolean }
  | { readonly type: "regex"; readonly pattern: string }
  | { readonly type: "ebnf"; readonly grammar: string }
  /** llama.cpp's grammar notation. */
  | { readonly type: "gbnf"; readonly grammar: string }
  /** Free text and tags in turns: the `format` of xgrammar's structural tags. */
  | { readonly type: "structural_tag"; readonly format: unknown }
  /** One of these texts. */
  | { readonly type: "choice"; readonly choices: readonly string[] };

/** How to answer a conversation. */
export interface ChatOptions extends GenerateOptions {
  /** What the model may call. */
  readonly tools?: readonly ToolDefinition[];
  /** Default "auto" where there are tools. */
  readonly toolChoice?: ToolChoice;
  /** Whether an answer may hold several tool calls. Default true. */
  readonly parallelToolCalls?: boolean;
  /** Default: free text. */
  readonly responseFormat?: ResponseFormat;
  /**
   * Called before the first event with the parts of the response format that constrain nothing
   * (unknown keywords and formats of a schema), a sentence each. Not called where there are none.
   */
  readonly onWarnings?: (warnings: readonly string[]) => void;
  /** Called when the answer has its turn: its wait in the queue is over. */
  readonly onTurn?: () => void;
  /** The last message is the assistant's and unfinished: the answer continues it. Default false. */
  readonly continueAssistant?: boolean;
  /** Further variables for the folder's chat template, by name: { enable_thinking: false }. */
  readonly templateVariables?: Readonly<Record<string, unknown>>;
  /** Whether and how much the model reasons before it answers. Default: as its template does. */
  readonly reasoning?: ReasoningOptions;
}

/** The load of a ChatModel at this moment, and its counters since it was created. */
export interface ChatMetrics {
  /** Requests that wait for their turn, and requests that have it. */
  readonly queued: number;
  /** Requests that have their turn. */
  readonly running: number;
  /**
   * Running requests that wait for room in the KV cache, before they begin or because
   * they were preempted.
   */
  readonly waiting: number;
  /**
   * Positions of the KV cache: how many it can have in all, how many sessions hold, and how many
   * are only kept for reuse.
   */
  readonly kv: { readonly capacity: number; readonly used: number; readonly cached: number };
  /**
   * How often an answer's KV blocks were evicted for an older answer, and tokens that were computed
   * again after that.
   */
  readonly suspensions: number;
  /** Tokens that were computed again after an eviction. */
  readonly recomputedTokens: number;
  /** In bytes. */
  readonly memory: BackendMemory;
  /** Null where all experts are in memory. */
  readonly experts: ExpertStats | null;
  /** Drafts since it was opened; null where tokens are not drafted. */
  readonly speculation: SpeculationStats | null;
}

/** A model as servers use it. */
export interface ChatModel {
  /** The model's name in answers: that of its folder by default. */
  readonly name: string;
  /** When it was opened, in seconds since 1970. */
  readonly created: number;
  /** Positions that a prompt and its answer may take. */
  readonly context: number;
  /** What holds where a request sets nothing itself; what is absent here too is off. */
  readonly sampling: SamplingOptions;
  /**
   * Answers a conversation. Returning from the iteration, or aborting `signal`, frees everything
   * that the answer holds.
   * @throws RequestError (before the first event) for a request that cannot be served, BusyError
   * where the queue is full
   */
  chat(messages: readonly ChatMessage[], options?: ChatOptions): AsyncIterableIterator<ChatEvent>;
  /**
   * Continues a prompt as it is. With `echo` the prompt's text comes first, as text events, with
   * its tokens' log probabilities if `logprobs` is set. The first token has none: its `logprob` is
   * NaN and its `top` is empty. maxTokens may be 0.
   */
  complete(
    prompt: string | readonly number[],
    options?: ChatOptions & { readonly echo?: boolean },
  ): AsyncIterableIterator<ChatEvent>;
  /**
   * Length in tokens of the prompt that chat() makes of `messages`.
   * @throws RequestError as chat() does
   */
  countTokens(
    messages: readonly ChatMessage[],
    options?: Pick<ChatOptions, "tools" | "toolChoice" | "templateVariables" | "reasoning">,
  ): number;
  /** `special`: with BOS in front, where the model's prompts begin with it. */
  tokenize(text: string, special: boolean): number[];
  /** Ids to text, control tokens by name. */
  detokenize(ids: readonly number[]): string;
  /** The pooled hidden state [D] of a text, and the text's length in tokens. */
  embed(
    input: string | readonly number[],
    signal?: AbortSignal,
  ): Promise<{ readonly embedding: Float32Array; readonly tokens: number }>;
  /** The load at this moment. */
  metrics(): ChatMetrics;
  /** What pages show of it; absent on a model that is not this engine's. */
  readonly view?: ModelView;
}
