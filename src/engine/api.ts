// The types of the public API: what open() takes, what a Model and a Session do, what a generation yields.

import type { PackableName } from "../../kernels/formats/index.ts";
import type { BackendInfo, BackendMemory } from "../backend/ops.ts";
import type { ExpertStats } from "../experts/stats.ts";
import type { RouteStep } from "../experts/trace.ts";
import type { Constraint } from "../grammar/types.ts";
import type { KvUsage } from "./kv.ts";
import type { RoomUsage } from "./room.ts";

export type { RouteStep } from "../experts/trace.ts";

export interface OpenOptions {
  /** Default "auto": a WebGPU adapter that is not software, else the CPU. */
  readonly backend?: "auto" | "webgpu" | "cpu";
  /** Substring of the adapter name to use ("llvmpipe", "NVIDIA"); default: what the platform prefers. WebGPU in Node only. */
  readonly adapter?: string;
  /** Format of weights in memory. Default "auto": the most precise that fits the memory budget. */
  readonly weights?: "auto" | PackableName;
  /** Precision of cached keys and values. Default "f16" on WebGPU and "f32" on the CPU. */
  readonly kv?: "f16" | "f32";
  /** Positions a session may hold; default and at most config.max_position_embeddings. */
  readonly context?: number;
  /** Tokens of a prompt computed in one step. Default 512 (WebGPU) or 128 (CPU). */
  readonly chunk?: number;
  /**
   * What q8 and q4 weights are multiplied by. "int8" (the default): activations rounded to int8, on the CPU, and on WebGPU where
   * that is faster (or f16, there); "f32": exactly.
   */
  readonly activations?: "int8" | "f32";
  /** Threads of the CPU backend, the caller's included (a page must be cross-origin isolated for more than one). Default: physical cores, within the CPU quota. */
  readonly threads?: number;
  /**
   * Budget in bytes for weights, KV and scratch in GPU memory (WebGPU cannot report it). Default 6 GiB. Experts that do not fit
   * are in RAM, or on disk.
   */
  readonly gpuMemory?: number;
  /** Budget in bytes for weights, KV and scratch in RAM; default 60 % of it. Experts that do not fit stay on disk. */
  readonly ram?: number;
  /** Experts of each layer to keep where steps are computed; default: as many as the budget holds. */
  readonly expertSlots?: number;
  /** Milliseconds that compiling one schema, pattern or grammar may take before it is refused. Default 10,000. */
  readonly compileDeadline?: number;
  /** Refuse a model without a tokenizer before its weights are loaded; by default it opens and takes token ids. */
  readonly needTokenizer?: boolean;
  /** Called while loading, with bytes of packed weights done and in all. */
  readonly onProgress?: (done: number, total: number) => void;
  /**
   * Called after each step with the experts that it chose (warming up not included); what it throws ends the generations of
   * that step. Steps get slower on WebGPU: each layer's choice is read back, and no step runs ahead.
   */
  readonly onRoutes?: (step: RouteStep) => void;
  readonly signal?: AbortSignal;
}

/** How the next token is chosen. Defaults come from the folder's generation_config.json, else greedy. */
export interface SamplingOptions {
  /** 0 is greedy. Logits are divided by it. */
  readonly temperature?: number;
  /** Keep the k most likely tokens; 0 keeps all. */
  readonly topK?: number;
  /** Keep the smallest set of most likely tokens whose probabilities reach p; 1 keeps all. */
  readonly topP?: number;
  /** Keep tokens at least p times as likely as the most likely one; 0 keeps all. */
  readonly minP?: number;
  /** Divide positive and multiply negative logits of tokens already seen (prompt included); 1 is off. */
  readonly repeatPenalty?: number;
  /** Subtract this times the number of times a token was generated; 0 is off. */
  readonly frequencyPenalty?: number;
  /** Subtract this from tokens generated at least once; 0 is off. */
  readonly presencePenalty?: number;
  /** Token id -> added to its logit. */
  readonly logitBias?: Readonly<Record<number, number>>;
  /** Same seed, same model, same backend: same tokens. Default: random, reported in the result. */
  readonly seed?: number;
}

export interface GenerateOptions extends SamplingOptions {
  /** At most this many new tokens; default: what is left of the context. */
  readonly maxTokens?: number;
  /** Texts that end the generation; they are not part of the output. */
  readonly stop?: readonly string[];
  /** Report this many most likely tokens (0..20) with each token's log probability. */
  readonly logprobs?: number;
  /** Go on past EOS. Default false. */
  readonly ignoreEos?: boolean;
  /** Tokens that end the generation beside EOS, also past it; like EOS they are no part of the text. */
  readonly stopIds?: readonly number[];
  /** No end and no stop text before so many tokens, unless a constraint allows nothing else. Default 0. */
  readonly minTokens?: number;
  /** Tokens that may come; default: all. EOS is to be among them if it is to end the text. */
  readonly allowedIds?: readonly number[];
  /**
   * Words that are not written: the last token of a word's tokens does not come after the others, with or without a space in
   * front of the word. Other tokens that spell the same are not held back.
   */
  readonly badWords?: readonly string[];
  /**
   * Which tokens may come next, before anything else is applied to the logits; log probabilities stay the model's. From
   * model.grammars; one for each generation. It is not closed by the generation.
   */
  readonly constraint?: Constraint;
  readonly signal?: AbortSignal;
}

/** A token that could be chosen, and how likely the model finds it. */
export interface TopLogprob {
  readonly id: number;
  /** As text for people: control tokens by name, bytes that are no whole character as U+FFFD. */
  readonly text: string;
  /** What the token adds to the text: none for control tokens; perhaps a part of a character. */
  readonly bytes: readonly number[];
  /** Natural log of the probability under the model's own distribution (before temperature and filters). */
  readonly logprob: number;
}

export interface TokenLogprob extends TopLogprob {
  /** Characters (code points) of the answer's text in front of the token; for a part of a character, in front of that. */
  readonly offset: number;
  readonly top: readonly TopLogprob[];
}

export type FinishReason = "stop" | "eos" | "length";

/** What a generation yields: text as soon as it is certain, the ids it came from, and a last piece with the reason. */
export interface Piece {
  readonly text: string;
  /** Tokens generated since the last piece (EOS included, where it ended the text). */
  readonly ids: readonly number[];
  /** Of the tokens whose text this is or was held back until now; of text that a stop string cuts away there are none. */
  readonly logprobs?: readonly TokenLogprob[];
  /** Only on the last piece. */
  readonly finish?: GenerationResult;
}

export interface GenerationResult {
  readonly reason: FinishReason;
  /** The stop text that ended it, where one did. */
  readonly stop?: string;
  readonly promptTokens: number;
  /** Prompt tokens that were not computed again: the session held them, or others had computed the same beginning. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly seed: number;
  readonly timings: {
    readonly promptMs: number;
    readonly promptTps: number;
    readonly decodeMs: number;
    /** Tokens a second after the first one. */
    readonly decodeTps: number;
  };
}

/** One timeline of tokens with its own KV cache. */
export interface Session {
  /**
   * Its tokens, whose keys and values are in the KV cache. Where that is short of room for others' answers, a session without
   * work gives them up, and computes what it needs again when it is next used: the tokens are the same.
   */
  readonly tokens: readonly number[];
  /**
   * Continues `prompt` (text, encoded with BOS, or token ids as they are). What the session already holds of it is not
   * computed again. One generation at a time: a second call while one runs throws RequestError.
   */
  generate(prompt: string | readonly number[], options?: GenerateOptions): AsyncIterableIterator<Piece>;
  /**
   * The session as bytes, for Model.restore(): its tokens with their keys and values, and what tells whether a model is the
   * same. @throws RequestError while it generates, MemoryError where they do not fit in one array
   */
  save(): Promise<Uint8Array>;
  /** Frees the session's KV blocks; a generation that runs rejects at its next token. */
  close(): void;
}

export interface ModelStats {
  readonly backend: BackendInfo;
  readonly weights: PackableName;
  readonly kv: "f16" | "f32";
  readonly context: number;
  readonly memory: BackendMemory;
  /** Blocks of keys and values of all sessions; cached ones are held by none and given up where others need them. */
  readonly blocks: KvUsage;
  /** Who waits for room among them, and what became of answers that had to make room for others. */
  readonly room: RoomUsage;
  readonly loadMs: number;
  readonly parameters: { readonly total: number; readonly active: number };
  readonly sessions: number;
  /** Null where every expert is in the memory that steps are computed in. */
  readonly experts: ExpertStats | null;
}
