// The types of the public API: the options of open(), sessions, and what a generation
// takes and yields.

import type { PackableName } from "../../kernels/formats/index.ts";
import type { BackendInfo, BackendMemory, KvPrecision } from "../backend/ops.ts";
import type { ExpertStats } from "../experts/stats.ts";
import type { RouteStep } from "../experts/trace.ts";
import type { Constraint } from "../grammar/types.ts";
import type { KvUsage } from "./kv.ts";
import type { RoomUsage } from "./room.ts";

export type { BackendInfo, BackendMemory, KvPrecision } from "../backend/ops.ts";
export type { RouteStep } from "../experts/trace.ts";
export type { KvUsage } from "./kv.ts";
export type { RoomUsage } from "./room.ts";

/** What became of the drafts of a generation. */
export interface SpeculationCounts {
  /** Tokens that were drafted and computed. */
  readonly drafted: number;
  /** Those of them that were chosen, each of which saved a step. */
  readonly accepted: number;
}

/** What became of the drafts of all generations. */
export interface SpeculationStats extends SpeculationCounts {
  /** The draft model and its memory, which is not in ModelStats.memory; null: there is none. */
  readonly draft: { readonly name: string; readonly weights: string; readonly memory: BackendMemory } | null;
}

/** How to open a model. */
export interface OpenOptions {
  /** Default "auto": a WebGPU adapter that is not software, else the CPU. */
  readonly backend?: "auto" | "webgpu" | "cpu";
  /**
   * Substring of the name of the adapter to use ("llvmpipe", "NVIDIA"); default: the platform's
   * choice. WebGPU in Node only.
   */
  readonly adapter?: string;
  /**
   * Format of weights in memory. Default "auto": the one that the file has, and where that is only
   * F32, F16 or BF16 of a checkpoint, the most precise that fits the memory budget (of BF16 not
   * "f16", but "bf16"). Another one is for all matrices: see ModelStats.repacked for what it
   * replaces.
   */
  readonly weights?: "auto" | PackableName;
  /**
   * Precision of cached keys and values. Default "f16" on WebGPU and "f32" on the CPU. "q8": int8
   * in groups of 32, about half of f16.
   */
  readonly kv?: KvPrecision;
  /**
   * Most positions that a session may hold; default and maximum: config.max_position_embeddings,
   * which ropeScaling changes.
   */
  readonly context?: number;
  /**
   * Scales RoPE for contexts beyond the trained one: "linear" (all frequencies), "yarn" (slow ones)
   * or "none" where config.json has a scaling. Default: as config.json says. A model whose
   * frequencies were trained with a scaling of another kind (LongRoPE, llama3) refuses it.
   */
  readonly ropeScaling?: "none" | "linear" | "yarn";
  /**
   * By how much the trained context grows, at least 1. Default: `context` divided by it. Without
   * ropeScaling it is that of a model's YaRN, else linear.
   */
  readonly ropeScale?: number;
  /** RoPE's base, in place of config.json's rope_theta; at least 1. */
  readonly ropeTheta?: number;
  /**
   * Tokens of a prompt computed in one step, at most: a GPU that would take long over them gets
   * fewer, a CPU at most 128 while other sessions wait. Default 1024 on a GPU, 512 on a software
   * adapter, 256 on the CPU, 512 there if a token uses fewer than an eighth of the experts, or at
   * most 16 million parameters.
   */
  readonly chunk?: number;
  /**
   * "lookup" (the default on the CPU): a step of one session computes, beside the last token, those
   * that followed the same words earlier in the text, as long as that pays: texts that quote or
   * edit their prompt come faster. The tokens are the same. Models with states do without. On
   * WebGPU it has to be asked for: a token alone is then computed by the kernels for a few, which
   * round otherwise and may take longer, and experts that are missing there are all uploaded, none
   * computed on the CPU.
   */
  readonly speculation?: "lookup" | "off";
  /**
   * A small model with the same vocabulary, as open() takes it: on the CPU it drafts tokens where
   * the text does not say what may follow, as long as that pays. The tokens are the same. It takes
   * its part of `ram`, and closes with the model. In a page a URL or a name. On WebGPU it drafts as
   * "lookup" does.
   */
  readonly draft?: string;
  /**
   * What q8 and q4 weights are multiplied by. "int8" (the default): activations rounded to int8 on
   * the CPU; on WebGPU to int8 or f16 where that is faster. "f32": exact activations.
   */
  readonly activations?: "int8" | "f32";
  /**
   * Threads of the CPU backend, including the calling one (a page must be cross-origin isolated for
   * more than one). Default: the number of physical cores, within the CPU quota.
   */
  readonly threads?: number;
  /**
   * Budget in bytes for weights, KV cache and scratch in GPU memory, whose size WebGPU cannot
   * report. Default 6 GiB. Experts that do not fit are kept in RAM, or on disk.
   */
  readonly gpuMemory?: number;
  /**
   * Budget in bytes for weights, KV cache and scratch in RAM; default 60 % of RAM, or of a
   * container's limit all but 6 %, 384 MiB and 8 MiB a thread. Experts that do not fit stay on
   * disk.
   */
  readonly ram?: number;
  /**
   * Experts of each layer to keep in the memory that steps are computed in; default: as many as fit
   * the budget.
   */
  readonly expertSlots?: number;
  /**
   * Milliseconds that compiling one schema, pattern or grammar may take before it is rejected.
   * Default 10,000.
   */
  readonly compileDeadline?: number;
  /**
   * A folder or a file (tokenizer.json, tokenizer.model, GGUF) whose tokenizer and chat templates
   * are used in place of the model's own.
   */
  readonly tokenizer?: string;
  /**
   * Reject a model without a tokenizer before its weights are loaded; by default it opens and takes
   * token ids.
   */
  readonly needTokenizer?: boolean;
  /** Called while loading, with the bytes of packed weights done and in total. */
  readonly onProgress?: (done: number, total: number) => void;
  /**
   * Called while variants of kernels are timed on a GPU, with the products done and in total: 20
   * seconds at most, where they are not known from another start.
   */
  readonly onTuning?: (done: number, total: number) => void;
  /**
   * Called after each step (not while warming up) with the experts that its router chose. An error
   * that it throws ends the generations of that step. Slows WebGPU down: each layer's choice is
   * read back, and no step runs ahead.
   */
  readonly onRoutes?: (step: RouteStep) => void;
  /** Aborts loading. */
  readonly signal?: AbortSignal;
}

/**
 * How the next token is chosen. Defaults come from the folder's
 * generation_config.json, else greedy.
 */
export interface SamplingOptions {
  /** 0 is greedy. Logits are divided by it. */
  readonly temperature?: number;
  /** Keep the k most likely tokens; 0 keeps all. */
  readonly topK?: number;
  /** Keep the smallest set of most likely tokens whose probabilities reach p; 1 keeps all. */
  readonly topP?: number;
  /** Keep tokens at least p times as likely as the most likely one; 0 keeps all. */
  readonly minP?: number;
  /**
   * Divide positive and multiply negative logits of tokens already seen (prompt included);
   * 1 is off.
   */
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

/** How to generate: sampling, the end, and what to report. */
export interface GenerateOptions extends SamplingOptions {
  /** At most this many new tokens; default: what is left of the context. */
  readonly maxTokens?: number;
  /** Texts that end the generation; they are not part of the output. */
  readonly stop?: readonly string[];
  /** Report this many most likely tokens (0..20) with each token's log probability. */
  readonly logprobs?: number;
  /** Continue past EOS. Default false. */
  readonly ignoreEos?: boolean;
  /**
   * Tokens that end the generation besides EOS, also with `ignoreEos`. Like EOS they are not part
   * of the text.
   */
  readonly stopIds?: readonly number[];
  /**
   * Neither EOS nor a stop text ends the text before so many tokens, unless a constraint allows
   * nothing else. Default 0.
   */
  readonly minTokens?: number;
  /** Tokens that may be chosen; default: all. Include EOS if it should end the text. */
  readonly allowedIds?: readonly number[];
  /**
   * Words that must not be written: the last of a word's tokens is not allowed after the
   * others, with or without a space in front of the word. Other tokens that spell the same
   * word are allowed.
   */
  readonly badWords?: readonly string[];
  /**
   * Restricts the next tokens, before anything else is applied to the logits. Log probabilities
   * stay the model's own. From model.grammars, one for each generation, which does not close it.
   */
  readonly constraint?: Constraint;
  /** Aborts the generation. */
  readonly signal?: AbortSignal;
}

/** A candidate for a token, and its probability under the model. */
export interface TopLogprob {
  /** The token's id. */
  readonly id: number;
  /** Readable text: control tokens by name, incomplete characters as U+FFFD. */
  readonly text: string;
  /**
   * The bytes that the token adds to the text: none for control tokens, perhaps a part
   * of a character.
   */
  readonly bytes: readonly number[];
  /**
   * Natural log of the probability under the model's own distribution (before
   * temperature and filters).
   */
  readonly logprob: number;
}

/** A token of an answer, and its probability. */
export interface TokenLogprob extends TopLogprob {
  /**
   * Characters (code points) of the answer's text before the token, or before the character that it
   * is a part of.
   */
  readonly offset: number;
  /** The most likely tokens at its place, as many as were asked for. */
  readonly top: readonly TopLogprob[];
}

/** Why a generation ended: a stop text, a token that ends texts, or its length. */
export type FinishReason = "stop" | "eos" | "length";

/**
 * What a generation yields: text as soon as it is final, the ids it came from, and in the last
 * piece the result.
 */
export interface Piece {
  /** Text that no later token changes. */
  readonly text: string;
  /** Tokens generated since the last piece, including an EOS that ended the text. */
  readonly ids: readonly number[];
  /**
   * Log probabilities of the tokens of this text, which may be older than `ids`. Text that a stop
   * string cuts off has none.
   */
  readonly logprobs?: readonly TokenLogprob[];
  /** Only on the last piece. */
  readonly finish?: GenerationResult;
}

/** How a generation ended. */
export interface GenerationResult {
  /** Why it ended. */
  readonly reason: FinishReason;
  /** The stop text that ended it, if one did. */
  readonly stop?: string;
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** Prompt tokens found in the KV cache: of this session, or of others with the same beginning. */
  readonly cachedTokens: number;
  /** Tokens that were generated. */
  readonly completionTokens: number;
  /**
   * Where tokens were drafted: how many were computed, and how many of them were chosen, each of
   * which saved a step.
   */
  readonly speculation?: SpeculationCounts;
  /** Gives the same tokens again, with the same options. */
  readonly seed: number;
  /** Times in ms, and tokens a second: of the prompt, and of the answer. */
  readonly timings: {
    readonly promptMs: number;
    readonly promptTps: number;
    readonly decodeMs: number;
    /** Tokens a second after the first one. */
    readonly decodeTps: number;
  };
}

/** One sequence of tokens with its own part of the KV cache. */
export interface Session {
  /**
   * Its tokens, whose keys and values are in the KV cache. Where other answers need the room, the
   * blocks of a session without work are evicted, and computed again when it is next used: the
   * tokens are the same.
   */
  readonly tokens: readonly number[];
  /**
   * Continues `prompt` (text, encoded with BOS, or token ids as they are). The part of it that the
   * session already holds is not computed again. One generation at a time: a second call while one
   * runs throws RequestError.
   */
  generate(prompt: string | readonly number[], options?: GenerateOptions): AsyncIterableIterator<Piece>;
  /**
   * The session as bytes, for Model.restore(): its tokens with their keys and values, and a
   * fingerprint of the model.
   * @throws RequestError while it generates, MemoryError where they do not fit in one array
   */
  save(): Promise<Uint8Array>;
  /** Frees the session's KV blocks; a running generation rejects at its next token. */
  close(): void;
}

/** What a model is and uses at this moment. */
export interface ModelStats {
  /** What computes. */
  readonly backend: BackendInfo;
  /** The formats of the matrices, that of the most bytes first: "q4", "q4_k (with q6_k, q8)". */
  readonly weights: string;
  /**
   * The formats that the file has, in the same words, where the caller's own choice replaces them
   * with less precise values; else null.
   */
  readonly repacked: string | null;
  /** A sentence about a vocabulary that may be read otherwise than it was meant, or null. */
  readonly tokenizerNote: string | null;
  /** The precision of the KV cache. */
  readonly kv: KvPrecision;
  /** The most positions of a sequence. */
  readonly context: number;
  /** In bytes. */
  readonly memory: BackendMemory;
  /**
   * Blocks of keys and values of all sessions. No session holds the cached ones: they are evicted
   * when others need room.
   */
  readonly blocks: KvUsage;
  /** Work that waits for room in the KV cache, and counters of evictions. */
  readonly room: RoomUsage;
  /** What opening it took, in ms. */
  readonly loadMs: number;
  /** How many there are, and how many of them a token uses. */
  readonly parameters: { readonly total: number; readonly active: number };
  /** Sessions that are open. */
  readonly sessions: number;
  /** Null where every expert is in the memory that steps are computed in. */
  readonly experts: ExpertStats | null;
  /** Drafts since it was opened; null where tokens are not drafted. */
  readonly speculation: SpeculationStats | null;
  /** Why tokens are not drafted, in words, or null. */
  readonly noDrafts: string | null;
}
