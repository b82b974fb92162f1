// The public interface of a loaded model.

import type { Grammars } from "../grammar/types.ts";
import type { ModelConfig } from "../model/config.ts";
import type { Architecture } from "../model/family.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import type { ModelStats, Session } from "./api.ts";
import type { ChatMessage, ChatModel } from "./chat_api.ts";
import type { ChatEvent } from "./events.ts";
import type { QueueOptions } from "./queue.ts";
import type { RouteListener } from "./route_watch.ts";
import type { ChatInput } from "./schemas.ts";

/**
 * A loaded model. Close it when done: it holds memory, and on WebGPU it keeps the process alive.
 */
export interface Model {
  /** config.json, checked; field names are config.json's. */
  readonly config: ModelConfig;
  /** What it is made of, in this engine's letters. */
  readonly architecture: Architecture;
  /**
   * @throws RequestError for a model without one (a synthetic model), which takes token ids only
   */
  readonly tokenizer: Tokenizer;
  /** A new sequence of tokens. Sessions of a model share its steps and equal beginnings. */
  session(): Session;
  /**
   * Answers a conversation, by the folder's chat template or Mistral's own rules: text and tool
   * calls as they come, then one `finish`. Returning from the iteration, or aborting `signal`,
   * frees all that the answer holds.
   * @throws RequestError for a request that cannot be served, WeightsError for a template that
   * fails
   */
  chat(messages: readonly ChatMessage[], options?: ChatInput): AsyncIterableIterator<ChatEvent>;
  /**
   * The model as servers use it: chat, completions and embeddings, with a bounded queue.
   * @throws as chat()
   */
  serving(options?: ServingOptions): ChatModel;
  /**
   * Compiles constraints for generations: JSON, a JSON schema, a pattern, EBNF.
   * @throws RequestError without a tokenizer
   */
  readonly grammars: Grammars;
  /**
   * A session that continues a saved one. Only the checksum of the bytes is verified, so their keys
   * and values are never shared with other sessions.
   * @throws RequestError naming what differs from this model, or for damaged bytes; MemoryError
   */
  restore(bytes: Uint8Array, signal?: AbortSignal): Promise<Session>;
  /**
   * Logits [T, V], row-major, of every position of `ids`: row t is the distribution after
   * ids[0..t]. For evaluation; nothing is kept.
   * @throws RequestError for ids that do not fit, MemoryError if T * V is too large
   */
  logits(ids: readonly number[], signal?: AbortSignal): Promise<Float32Array>;
  /**
   * An embedding: the hidden states after the last norm, averaged over all of `ids`, as a vector
   * [D] of length 1. Nothing is kept.
   * @throws RequestError for ids that do not fit, and for none
   */
  embed(ids: readonly number[], signal?: AbortSignal): Promise<Float32Array>;
  /** What the model is and uses at this moment. */
  stats(): ModelStats;
  /**
   * Tells which experts each step chose, from now on, until the function that it returns is called
   * or the model closes. Tokens stay the same. Costs nothing while there is no listener; on WebGPU
   * with one, each layer's choice is copied to the host behind the step, which waits for nothing.
   * Steps that ran ahead of an answer's end are told too.
   */
  watchRoutes(listener: RouteListener): () => void;
  /** Frees everything; running generations reject. Safe to call twice. */
  close(): Promise<void>;
}

export type { RouteListener, WatchedStep } from "./route_watch.ts";

/** How many requests a served model takes. */
export interface ServingOptions extends Partial<QueueOptions> {
  /** The model's name in answers; default: the name of its folder. */
  readonly name?: string;
}
