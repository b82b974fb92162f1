// llama.cpp on the CPU through node-llama-cpp: one measurement, as a process of its own, printed as
// one JSON line.
//
// node dist/bench/peers/llama_cpp.js '{"package": folder, "gguf": file, "work": {...}}'

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promptIds, type Sample, type Work } from "./types.ts";

/** The used part of node-llama-cpp 3, which is not a dependency and so has no types here. */
interface NodeLlamaCpp {
  getLlama(options: Readonly<Record<string, unknown>>): Promise<{
    readonly llamaCppRelease: { readonly release: string };
    readonly systemInfo: string;
    loadModel(options: { readonly modelPath: string }): Promise<{
      readonly fileInfo: { readonly metadata: { readonly llama: { readonly vocab_size: number } } };
      createContext(options: Readonly<Record<string, unknown>>): Promise<{ getSequence(): Sequence }>;
    }>;
  }>;
}

interface Sequence {
  clearHistory(): Promise<void>;
  evaluate(ids: readonly number[], options: Readonly<Record<string, unknown>>): AsyncGenerator<number, void, undefined>;
}

/** As `hotset bench` does: a short warm-up run, then the repeats. */
async function measure(folder: string, gguf: string, work: Work): Promise<Sample> {
  const { promptTokens, decodeTokens, repeats, threads } = work;
  const { getLlama } = (await import(pathToFileURL(join(folder, "dist/index.js")).href)) as NodeLlamaCpp;
  const llama = await getLlama({
    gpu: false,
    build: "never",
    progressLogs: false,
    maxThreads: threads,
    logLevel: "error",
  });
  const started = performance.now();
  const model = await llama.loadModel({ modelPath: gguf });
  // One position more, so that the context never shifts; llama.cpp's own batch size
  // and cache types.
  const contextSize = Math.ceil((promptTokens + decodeTokens + 1) / 256) * 256;
  // The peer's fastest setting: its fused attention is faster over a prompt and slower for one
  // token (measured on models/tales at a context of 1920: 1.5 times the prefill, a third of the
  // decode rate).
  const flashAttention = decodeTokens > 1 ? false : "auto";
  const context = await model.createContext({ contextSize, threads, batchSize: 512, flashAttention });
  const sequence = context.getSequence();
  const loadMs = performance.now() - started;

  const ids = promptIds(work, model.fileInfo.metadata.llama.vocab_size);
  await generate(sequence, ids.slice(0, 8), 2);
  const runs: { readonly prefillMs: number; readonly decodeMs: number }[] = [];
  for (let i = 0; i < repeats; i++) runs.push(await generate(sequence, ids, decodeTokens));
  return {
    prefillTps: runs.map(({ prefillMs }) => (promptTokens / prefillMs) * 1000),
    decodeTps: decodeTokens > 1 ? runs.map(({ decodeMs }) => ((decodeTokens - 1) / decodeMs) * 1000) : [],
    loadMs,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    engine: `llama.cpp ${llama.llamaCppRelease.release}: ${llama.systemInfo.trim()}`,
  };
}

/**
 * Greedy tokens after a prompt. evaluate() computes logits of the prompt's last row only, samples
 * one token, and continues token by token, as hotset does. The clock for decoding starts at the
 * first token.
 */
async function generate(
  sequence: Sequence,
  ids: readonly number[],
  count: number,
): Promise<{ readonly prefillMs: number; readonly decodeMs: number }> {
  await sequence.clearHistory();
  const started = performance.now();
  let first = 0;
  let last = 0;
  let tokens = 0;
  for await (const _ of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
    last = performance.now();
    if (++tokens === 1) first = last;
    if (tokens === count) break;
  }
  if (tokens !== count) throw new Error(`llama.cpp gave ${tokens} tokens, expected ${count}`);
  return { prefillMs: first - started, decodeMs: last - first };
}

const {
  package: folder,
  gguf,
  work,
} = JSON.parse(process.argv[2] ?? "") as {
  readonly package: string;
  readonly gguf: string;
  readonly work: Work;
};
const sample = await measure(folder, gguf, work);
// Its worker threads would keep the process alive: exit when the line is written.
process.stdout.write(`${JSON.stringify(sample)}\n`, () => process.exit(0));
