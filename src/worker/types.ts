// The public interface of a model whose engine runs in a worker.

import type { ModelStats, SamplingOptions, Session } from "../engine/api.ts";
import type { ChatMessage, ChatOptions } from "../engine/chat_api.ts";
import type { ChatEvent } from "../engine/events.ts";
import type { Model } from "../engine/model_api.ts";
import type { ModelFacts } from "../engine/model_view.ts";
import type { ChatInput } from "../engine/schemas.ts";
import type { Architecture } from "../model/family.ts";
import type { ExpertsAtWork } from "./experts.ts";

/**
 * A loaded model in a worker of its own. Close it when done: that ends the worker and gives all of
 * its memory back. It differs from Model where a page would have to wait: stats() and tokens are
 * promises. `constraint` of GenerateOptions cannot be sent; chat() and complete() take
 * `responseFormat` instead.
 */
export interface WorkerModel extends Pick<Model, "config"> {
  /** What it is made of, in this engine's letters, but for the formats of a file. */
  readonly architecture: Omit<Architecture, "stored">;
  /** Positions that a prompt and its answer may take. */
  readonly context: number;
  /** What it is, for people; null for a model that cannot chat. */
  readonly facts: ModelFacts | null;
  /** What holds where a request sets nothing itself; what is absent here too is off. */
  readonly sampling: SamplingOptions;
  /**
   * What makes it slower here than it could be, a sentence each, for people: a page that is not
   * cross-origin isolated computes on one thread.
   */
  readonly warnings: readonly string[];
  /** As Model.session(). `tokens` of the session are up to date when a generation has ended. */
  session(): Session;
  /** As Model.chat(). */
  chat(messages: readonly ChatMessage[], options?: ChatInput): AsyncIterableIterator<ChatEvent>;
  /** As ChatModel.complete(): continues a prompt as it is. */
  complete(
    prompt: string | readonly number[],
    options?: ChatInput & { readonly echo?: boolean },
  ): AsyncIterableIterator<ChatEvent>;
  /** Length in tokens of the prompt that chat() makes of `messages`. @throws as chat() */
  countTokens(
    messages: readonly ChatMessage[],
    options?: Pick<ChatOptions, "tools" | "toolChoice" | "templateVariables" | "reasoning">,
  ): Promise<number>;
  /** Text to ids. `special`: with BOS in front, where the model's prompts begin with it. */
  tokenize(text: string, special?: boolean): Promise<number[]>;
  /** Ids to text, control tokens by name. */
  detokenize(ids: readonly number[]): Promise<string>;
  /** As Model.restore(). */
  restore(bytes: Uint8Array, signal?: AbortSignal): Promise<Session>;
  /** Logits [T, V] of every position of `ids`, as Model.logits(). */
  logits(ids: readonly number[], signal?: AbortSignal): Promise<Float32Array>;
  /** An embedding [D] of length 1, as Model.embed(). */
  embed(ids: readonly number[], signal?: AbortSignal): Promise<Float32Array>;
  /**
   * Its experts at work, in frames, until the reader leaves, `signal` aborts or the model closes.
   * Nothing is computed for it while there is no reader.
   */
  experts(signal?: AbortSignal): AsyncIterableIterator<ExpertsAtWork>;
  /** What the model is and uses at this moment. */
  stats(): Promise<ModelStats>;
  /** Frees everything and ends the worker; running generations reject. Safe to call twice. */
  close(): Promise<void>;
}

/** What openInWorker() takes beside the options of open(). */
export interface WorkerOptions {
  /**
   * The address of the worker's script, `dist/worker/engine.js` of the package, for pages whose
   * Content-Security-Policy allows no workers from `blob:`. Default: the script comes with the
   * library, as text.
   */
  readonly script?: string | URL;
}
