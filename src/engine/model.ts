// A model ready to use: weights on a backend, a KV cache, a tokenizer; sessions come from here.

import type { Batch, KvStore, Ops } from "../backend/ops.ts";
import type { ChatFormat } from "../chat/chat.ts";
import { MemoryError, RequestError } from "../errors.ts";
import type { ExpertStats } from "../experts/stats.ts";
import type { RouteStep } from "../experts/trace.ts";
import { createGrammars } from "../grammar/grammars.ts";
import type { Grammars } from "../grammar/types.ts";
import type { RouteWatcher } from "../model/mixtral.ts";
import type { MixtralConfig } from "../model/mixtral_config.ts";
import type { Precision, Tensor } from "../tensor/types.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import type { ModelStats, SamplingOptions, Session } from "./api.ts";
import { createChat } from "./chat.ts";
import type { ChatEvent, ChatMessage, ChatModel, ChatOptions } from "./chat_api.ts";
import { createBlockPool } from "./kv.ts";
import { createQueue, type Queue, type QueueOptions } from "./queue.ts";
import { recordedLogits } from "./record.ts";
import { createSession } from "./session.ts";
import { createStepper, type Runner } from "./stepper.ts";
import { textCodec } from "./text.ts";
import { maxRows, type Sequence } from "./work.ts";

/** A loaded model. Close it when done: it holds memory, and on WebGPU it keeps the process alive. */
export interface Model {
  /** config.json, checked; field names are config.json's. */
  readonly config: MixtralConfig;
  /** @throws RequestError for a model without one (a synthetic model), which takes token ids only */
  readonly tokenizer: Tokenizer;
  session(): Session;
  /**
   * Answers a conversation, by the folder's chat template or Mistral's own rules: text and tool calls as they come, then one
   * `finish`. Returning from the iteration, or aborting `signal`, frees all that the answer holds.
   * @throws RequestError for what cannot be done, WeightsError for a template that fails
   */
  chat(messages: readonly ChatMessage[], options?: ChatOptions): AsyncIterableIterator<ChatEvent>;
  /** The model as servers use it: chat, completions, embeddings, with a bound on who runs and who waits. @throws as chat() */
  serving(options?: ServingOptions): ChatModel;
  /** What generations can be constrained to: JSON, a JSON schema, a pattern, EBNF. @throws RequestError without a tokenizer */
  readonly grammars: Grammars;
  /**
   * Logits [T, V], row-major, of every position of `ids`: row t is the distribution after ids[0..t].
   * For evaluation; nothing is kept. @throws RequestError for ids that do not fit, MemoryError if T * V is too large
   */
  logits(ids: readonly number[], signal?: AbortSignal): Promise<Float32Array>;
  stats(): ModelStats;
  /** Frees everything; running generations reject. Safe to call twice. */
  close(): Promise<void>;
}

export interface ServingOptions extends Partial<QueueOptions> {
  /** What answers call the model; default: the name of its folder. */
  readonly name?: string;
}

export interface ModelParts {
  readonly label: string;
  readonly config: MixtralConfig;
  readonly tokenizer: Tokenizer | null;
  /** How to chat with it, or why that cannot be done. */
  readonly chat: ChatFormat | Error;
  readonly ops: Ops;
  readonly kv: KvStore;
  readonly kvBytes: number;
  readonly context: number;
  readonly weights: Precision;
  readonly eos: ReadonlySet<number>;
  readonly sampling: SamplingOptions;
  readonly loadMs: number;
  readonly parameters: { readonly total: number; readonly active: number };
  readonly forward: (batch: Batch | "next", watch?: RouteWatcher) => Promise<Tensor>;
  /** Where experts come and go. */
  readonly experts?: () => ExpertStats;
  readonly onRoutes?: ((step: RouteStep) => void) | undefined;
  readonly release: () => Promise<void>;
}

export function createModel(parts: ModelParts): Model {
  const { ops, kv, config, context } = parts;
  const vocab = config.vocab_size;
  const pool = createBlockPool(kv, parts.kvBytes);
  const stepper = createStepper(runnerOf(parts), pool, ops.maxTokens, vocab);
  const text = textCodec(parts.tokenizer, parts.label);
  const open = new Set<Session>();
  let grammars: Grammars | null = null;
  let closing: Promise<void> | null = null;

  const alive = (): void => {
    if (closing) throw new RequestError("the model is closed");
  };
  let chatting: ChatModel | null = null; // of chat()
  const queues: Queue[] = [];
  const model: Model = {
    config,
    chat(messages, options) {
      chatting ??= this.serving();
      return chatting.chat(messages, options);
    },
    serving({ name = nameOf(parts.label), parallel = Number.POSITIVE_INFINITY, queue = 0 } = {}) {
      alive();
      if (parts.chat instanceof Error) throw parts.chat;
      const turns = createQueue({ parallel, queue });
      queues.push(turns);
      return createChat({ name, model: this, format: parts.chat, queue: turns });
    },
    get tokenizer() {
      if (parts.tokenizer === null) throw new RequestError(`${parts.label} has no tokenizer: it takes token ids only`);
      return parts.tokenizer;
    },
    get grammars() {
      alive();
      grammars ??= createGrammars(this.tokenizer, vocab, parts.eos);
      return grammars;
    },
    session() {
      alive();
      const session: Session = createSession({
        stepper,
        pool,
        text,
        vocab,
        context,
        eos: parts.eos,
        sampling: parts.sampling,
        onClose: () => open.delete(session),
      });
      open.add(session);
      return session;
    },
    async logits(ids, signal) {
      alive();
      if (ids.length > context) {
        throw new RequestError(`logits: ${ids.length} tokens do not fit in the context of ${context}`);
      }
      const bad = ids.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocab);
      if (bad >= 0) {
        throw new RequestError(`logits: token ${bad}: expected an id from 0 to ${vocab - 1}, found ${ids[bad]}`);
      }
      const result = allocate(ids.length * vocab);
      const sequence: Sequence = { blocks: [], length: 0 };
      try {
        const size = Math.min(stepper.maxTokens, maxRows(vocab));
        for (let at = 0; at < ids.length; at += size) {
          const chunk = ids.slice(at, at + size);
          result.set(await stepper.step(sequence, chunk, "all", signal), at * vocab);
        }
      } finally {
        pool.shrink(sequence.blocks, 0);
      }
      return result;
    },
    stats: () => ({
      backend: ops.info,
      weights: parts.weights,
      kv: kv.precision,
      context,
      memory: ops.memory(),
      blocks: pool.usage(),
      loadMs: parts.loadMs,
      parameters: parts.parameters,
      sessions: open.size,
      experts: parts.experts?.() ?? null,
    }),
    close() {
      closing ??= (async () => {
        for (const queue of queues) queue.close();
        await stepper.close();
        grammars?.close();
        for (const session of open) session.close();
        kv.close();
        ops.close();
        await parts.release();
      })();
      return closing;
    },
  };
  return model;
}

/** The last part of a path or URL, as "Mixtral-8x7B-Instruct-v0.1". */
function nameOf(label: string): string {
  return label.split(/[\\/]/).findLast((part) => part !== "" && part !== ".") ?? label;
}

/** Steps of a model on a backend. */
function runnerOf({ ops, config, forward, experts, onRoutes }: ModelParts): Runner {
  // Recorded steps are those that somebody waits for: none is submitted ahead and then forgotten.
  if (onRoutes) return { logits: recordedLogits(ops, config.num_hidden_layers, forward, onRoutes) };
  // A step that waits for experts is no sooner done for having been begun before the last one's tokens were known.
  const choosing = experts ? undefined : ops.choosing;
  const logits = async (batch: Batch) => ops.read(await forward(batch));
  if (!choosing) return { logits };
  return {
    logits,
    choosing: {
      create: (settings) => choosing.create(settings),
      submit: async (batch) => ({ ids: choosing.choose(await forward(batch)) }),
    },
  };
}

function allocate(size: number): Float32Array {
  try {
    return new Float32Array(size);
  } catch {
    throw new MemoryError(`logits: ${size} numbers do not fit in memory; ask for fewer positions at a time`);
  }
}
