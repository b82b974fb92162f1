// A GGUF file in llama.cpp on the CPU, through node-llama-cpp.

import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** The used part of node-llama-cpp 3, which is not a dependency and so has no types here. */
interface NodeLlamaCpp {
  getLlama(options: Readonly<Record<string, unknown>>): Promise<{
    readonly llamaCppRelease: { readonly release: string };
    readonly systemInfo: string;
    loadModel(options: { readonly modelPath: string; readonly lazyMode: boolean }): Promise<{
      readonly fileInfo: { readonly metadata: Readonly<Record<string, { readonly vocab_size?: number }>> };
      createContext(options: Readonly<Record<string, unknown>>): Promise<{ getSequence(): Sequence }>;
    }>;
  }>;
}

interface Sequence {
  clearHistory(): Promise<void>;
  evaluate(ids: readonly number[], options: Readonly<Record<string, unknown>>): AsyncGenerator<number, void, undefined>;
}

/**
 * Milliseconds to the first new token, and from it to the last: by the clock, and of processors.
 */
export interface Timed {
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly prefillCpuMs: number;
  readonly decodeCpuMs: number;
}

/** Times tokens as they come. */
export class Stopwatch {
  readonly #started = instant();
  #first: Instant | null = null;
  #last = this.#started;
  tokens = 0;

  /** A token has come. */
  token(): void {
    this.#last = instant();
    this.#first ??= this.#last;
    this.tokens++;
  }

  read(): Timed {
    const first = this.#first ?? this.#started;
    return {
      prefillMs: first.ms - this.#started.ms,
      decodeMs: this.#last.ms - first.ms,
      prefillCpuMs: first.cpuMs - this.#started.cpuMs,
      decodeCpuMs: this.#last.cpuMs - first.cpuMs,
    };
  }
}

interface Instant {
  readonly ms: number;
  /** Of all threads of the process. */
  readonly cpuMs: number;
}

function instant(): Instant {
  const { user, system } = process.cpuUsage();
  return { ms: performance.now(), cpuMs: (user + system) / 1000 };
}

export interface LlamaModel {
  /** What computes, in its own words. */
  readonly engine: string;
  readonly vocab: number;
  /**
   * A context of `positions`. Its prompts are faster with fused attention, its single tokens
   * slower (measured on models/tales at a context of 1920: 1.5 times the prefill, a third of the
   * decode rate): `decodes` chooses.
   */
  context(
    positions: number,
    decodes: boolean,
  ): Promise<(ids: readonly number[], count: number, sampling?: Sampling) => Promise<Timed>>;
}

export interface Sampling {
  /** 0: greedy. */
  readonly temperature: number;
  readonly seed: number;
}

/**
 * Opens a file with a package's folder.
 * @param lazyMode whether tensors are read when they are used and not before
 */
export async function openLlama(
  folder: string,
  modelPath: string,
  threads: number,
  lazyMode = false,
): Promise<LlamaModel> {
  const { getLlama } = (await import(pathToFileURL(join(folder, "dist/index.js")).href)) as NodeLlamaCpp;
  const llama = await getLlama({
    gpu: false,
    build: "never",
    progressLogs: false,
    maxThreads: threads,
    logLevel: "error",
  });
  const model = await llama.loadModel({ modelPath, lazyMode });
  const { metadata } = model.fileInfo;
  const vocab = Object.values(metadata).find((value) => typeof value?.vocab_size === "number")?.vocab_size;
  return {
    engine: `llama.cpp ${llama.llamaCppRelease.release}: ${llama.systemInfo.trim()}`,
    vocab: vocab ?? 1000,
    async context(positions, decodes) {
      // One position more, so that the context never shifts; llama.cpp's own batch size and cache
      // types.
      const contextSize = Math.ceil((positions + 1) / 256) * 256;
      const flashAttention = decodes ? false : "auto";
      const context = await model.createContext({ contextSize, threads, batchSize: 512, flashAttention });
      const sequence = context.getSequence();
      return (ids, count, sampling = { temperature: 0, seed: 0 }) => generate(sequence, ids, count, sampling);
    },
  };
}

/**
 * Tokens after a prompt. evaluate() computes logits of the prompt's last row only, samples
 * one token, and continues token by token, as hotset does. The clock for decoding starts at the
 * first token.
 */
async function generate(
  sequence: Sequence,
  ids: readonly number[],
  count: number,
  { temperature, seed }: Sampling,
): Promise<Timed> {
  await sequence.clearHistory();
  const watch = new Stopwatch();
  for await (const _ of sequence.evaluate(ids, { temperature, seed, topK: 0, topP: 1, yieldEogToken: true })) {
    watch.token();
    if (watch.tokens === count) break;
  }
  if (watch.tokens !== count) throw new Error(`llama.cpp gave ${watch.tokens} tokens, expected ${count}`);
  return watch.read();
}
