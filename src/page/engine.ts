// What the page is written against: an engine behind a server (remote/) or in the page itself.

import type { Activity, ExpertsEvent, Span } from "./live.ts";

/** Something that answers. Every method may reject with an EngineError. */
export interface PageEngine {
  /** "server": over HTTP; "page": in a worker of this page. */
  readonly kind: "server" | "page";
  /** Where it is, for code samples: the server's base URL without a final slash; else null. */
  readonly url: string | null;
  /** The models that there are, in the server's order. */
  models(signal?: AbortSignal): Promise<readonly ModelFacts[]>;
  /** Loads a model; absent: the models that there are, are loaded. */
  load?(id: string, signal?: AbortSignal): Promise<void>;
  unload?(id: string): Promise<void>;
  /** The model's experts at work, until `signal` aborts; absent: they cannot be watched. */
  experts?(id: string, signal: AbortSignal): AsyncIterable<ExpertsEvent>;
  /** What the server has done; null: it counts nothing. Absent: there is no server. */
  activity?(span: Span, signal?: AbortSignal): Promise<Activity | null>;
  /** Ranges and defaults of what a request may set. */
  parameters(id: string, signal?: AbortSignal): Promise<readonly ParameterRule[]>;
  /**
   * Answers a conversation. A last message of the assistant is continued. Aborting `signal` stops
   * the engine's work, and the iteration ends by throwing the signal's reason.
   */
  chat(request: ChatRequest, signal: AbortSignal): AsyncIterable<PageEvent>;
  /** Continues a text as it is. */
  complete(request: CompletionRequest, signal: AbortSignal): AsyncIterable<PageEvent>;
}

/** A failure in the engine's own words. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  /** HTTP's status; 0: there was no answer. */
  readonly status: number;
  constructor(message: string, status = 0) {
    super(message);
    this.status = status;
  }
}

export type ModelState = "unloaded" | "loading" | "ready" | "unloading" | "failed";

/** What is known of a model; what is not known is absent. */
export interface ModelFacts {
  readonly id: string;
  readonly state: ModelState;
  /** The part that is loaded, 0 to 1, while it is being loaded. */
  readonly progress?: number;
  /** Why it failed to load. */
  readonly reason?: string;
  /** Positions that a prompt and its answer may take. */
  readonly context?: number;
  /** Whether it comes with a chat template; a base model does not. */
  readonly chatTemplate?: boolean;
  /** Bytes that it takes in memory, or would take. */
  readonly bytes?: number;
  /** Whether load() and unload() take it. */
  readonly movable?: boolean;
  /** Whether it always stays loaded. */
  readonly pinned?: boolean;
  /** When it is unloaded if no request comes. */
  readonly expires?: Date;
  /** Answers under way and waiting; tokens a second of all answers together. */
  readonly load?: { readonly running: number; readonly queued: number; readonly tokensPerSecond: number };
  readonly made?: MadeOf;
  /**
   * Bytes by place: `disk` are experts that are nowhere else. Of gpu and ram are the KV cache, the
   * scratch and, if there is one, a draft model.
   */
  readonly memory?: Readonly<Record<"gpu" | "ram" | "disk" | "kv" | "scratch", number>> & { readonly draft?: number };
}

/** Whether a chat template is known, by where prompts come from. */
export function hasTemplate(chat: unknown): boolean {
  // Without one Mistral's rules are taken; those for a tokenizer without control tokens are a
  // guess.
  return typeof chat === "string" && chat !== "Mistral's rules v1";
}

/** What a model is made of. */
export interface MadeOf {
  readonly family: string;
  readonly parameters: number;
  /** Those that a token uses. */
  readonly activeParameters: number;
  /** The most positions that it was trained for. */
  readonly trainedContext: number;
  readonly layers: number;
  /** Layers with a router; experts of each, and those that a token uses. */
  readonly sparseLayers: number;
  readonly experts: number;
  readonly perToken: number;
  readonly vocabulary: number;
  /** Formats of the weights in memory; of the file where these are less precise. */
  readonly weights: string;
  readonly repacked?: string;
  /** Precision of the KV cache. */
  readonly kv: string;
  /** Ids of the tokenizer. */
  readonly tokenizer?: number;
  /** Where prompts of conversations come from. */
  readonly chat?: string;
  readonly device: string;
  readonly loadMs: number;
}

export const PARAMETERS = [
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "repetition_penalty",
  "frequency_penalty",
  "presence_penalty",
  "seed",
  "max_tokens",
] as const;

export type ParameterName = (typeof PARAMETERS)[number];

/** The range of a parameter, and what holds where a request leaves it out. */
export interface ParameterRule {
  readonly name: ParameterName;
  readonly min: number;
  readonly max: number;
  /** The engine chooses by itself: a random seed, as many tokens as there is room for. */
  readonly default: number | null;
  readonly integer: boolean;
}

/** What a request sets; what is absent is left to the engine. */
export type Sampling = Readonly<Partial<Record<ParameterName, number>>> & { readonly stop?: readonly string[] };

export type Message =
  | { readonly role: "system" | "user"; readonly content: string }
  | {
      readonly role: "assistant";
      readonly content: string;
      readonly reasoning?: string;
      readonly calls?: readonly ToolCall[];
    }
  | { readonly role: "tool"; readonly callId: string; readonly content: string };

/** A call of a tool. `arguments` is JSON, as the model wrote it. */
export interface ToolCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

/** A function that the model may call; `parameters` is a JSON schema. */
export interface Tool {
  readonly name: string;
  readonly description?: string;
  readonly parameters?: unknown;
}

/** What the answer must be. `grammar` is in llama.cpp's notation, GBNF. */
export type Format =
  | { readonly type: "json_object" }
  | { readonly type: "json_schema"; readonly schema: unknown }
  | { readonly type: "grammar"; readonly grammar: string }
  | { readonly type: "regex"; readonly pattern: string };

interface CommonRequest {
  readonly model: string;
  readonly sampling: Sampling;
  readonly format?: Format;
  /** How many likeliest tokens to report at each place, 0 to 20; absent: no probabilities. */
  readonly alternatives?: number;
}

export interface ChatRequest extends CommonRequest {
  readonly messages: readonly Message[];
  readonly tools?: readonly Tool[];
}

export interface CompletionRequest extends CommonRequest {
  readonly prompt: string;
}

/** A token and the probability that the model gave it. */
export interface TokenShare {
  /** Where the token is only a part of a character, its bytes: "\\xf0\\x9f". */
  readonly text: string;
  /** UTF-8; empty for the token that ends an answer. */
  readonly bytes: readonly number[];
  /** Natural logarithm. */
  readonly logprob: number;
}

/** A token of an answer, and the likeliest ones at its place, the likeliest first. */
export interface TokenChoice extends TokenShare {
  readonly top: readonly TokenShare[];
}

/** A part of an answer. Texts are to be joined; a call comes whole. */
export type PageEvent =
  | { readonly type: "text"; readonly text: string; readonly tokens?: readonly TokenChoice[] }
  | { readonly type: "reasoning"; readonly text: string }
  | { readonly type: "call"; readonly call: ToolCall }
  | { readonly type: "usage"; readonly usage: Usage }
  | { readonly type: "finish"; readonly reason: string };

export interface Usage {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly answerTokens: number;
}
