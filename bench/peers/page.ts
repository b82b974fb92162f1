// Runs in the page: one measurement of hotset's CPU backend or of wllama, in a tab of its own.

import { type Model, open } from "../../src/browser.ts";
import type { GenerationResult } from "../../src/engine/api.ts";
import { promptIds, type Sample, type SideName, type Work } from "./types.ts";
import { FIRST_WORD, word } from "./words.ts";

/** Paths on the server. */
export interface PageFiles {
  readonly weights: string;
  readonly gguf: string;
  /** The module of @wllama/wllama, and its WebAssembly. */
  readonly wllama: { readonly module: string; readonly wasm: string };
  readonly vocab: number;
}

/**
 * The used part of @wllama/wllama 3 and 4, which is not a dependency and so has no types here.
 */
interface WllamaModule {
  readonly Wllama: (new (paths: object, config: object) => Wllama) & { getLibllamaVersion(): string };
}

interface Wllama {
  loadModel(blobs: readonly Blob[], parameters: object): Promise<void>;
  createCompletion(options: object): Promise<{ readonly timings?: Timings }>;
  getNumThreads(): number;
  exit(): Promise<void>;
}

/** Times that llama.cpp's server measures inside the module, without JavaScript. */
interface Timings {
  readonly cache_n: number;
  readonly prompt_n: number;
  readonly prompt_ms: number;
  readonly predicted_n: number;
  readonly predicted_ms: number;
}

/**
 * Prompts of both sides, each once: what was computed before is cached. wllama takes only text, and
 * some ids have none.
 */
function prompts(work: Work, { vocab }: PageFiles): () => number[] {
  let { seed } = work;
  return () => promptIds({ ...work, seed: seed++ }, vocab).map((id) => (id < FIRST_WORD ? id + FIRST_WORD : id));
}

/** Longer than V8 takes to recompile a running module with optimizations. */
const WARM_MS = 4000;

/** Warms up: does the work unmeasured, equally long on both sides. */
async function warm(work: () => Promise<unknown>): Promise<void> {
  const started = performance.now();
  while (performance.now() - started < WARM_MS) await work();
}

async function ours(work: Work, files: PageFiles): Promise<Sample> {
  const options = { backend: "cpu", weights: "q4", threads: work.threads } as const;
  const model = await open(files.weights, options);
  try {
    const next = prompts(work, files);
    await warm(() => generate(model, next(), work.decodeTokens));
    const runs: GenerationResult[] = [];
    for (let i = 0; i < work.repeats; i++) runs.push(await generate(model, next(), work.decodeTokens));
    const { loadMs, backend } = model.stats();
    return {
      prefillTps: runs.map((run) => run.timings.promptTps),
      decodeTps: work.decodeTokens > 1 ? runs.map((run) => run.timings.decodeTps) : [],
      loadMs,
      peakRssBytes: null,
      engine: JSON.stringify(backend),
    };
  } finally {
    await model.close();
  }
}

async function generate(model: Model, prompt: readonly number[], maxTokens: number): Promise<GenerationResult> {
  const session = model.session();
  try {
    for await (const piece of session.generate(prompt, { maxTokens, temperature: 0, ignoreEos: true }))
      if (piece.finish) {
        const { cachedTokens } = piece.finish;
        if (cachedTokens > 0) throw new Error(`${cachedTokens} tokens of the prompt were cached`);
        return piece.finish;
      }
  } finally {
    session.close();
  }
  throw new Error("the generation ended without a result");
}

async function wllama(work: Work, files: PageFiles): Promise<Sample> {
  const { promptTokens, decodeTokens, repeats, threads } = work;
  const { Wllama: Peer } = (await import(files.wllama.module)) as WllamaModule;
  const peer = new Peer({ default: files.wllama.wasm }, { suppressNativeLog: true });
  const started = performance.now();
  const blob = await (await fetch(files.gguf)).blob();
  // One sequence, as on our side; no adapter, to compare the CPU.
  const size = Math.ceil((promptTokens + decodeTokens + 1) / 256) * 256;
  await peer.loadModel([blob], { n_ctx: size, n_threads: threads, n_gpu_layers: 0, n_parallel: 1 });
  const loadMs = performance.now() - started;
  if (peer.getNumThreads() !== threads)
    throw new Error(`wllama runs on ${peer.getNumThreads()} threads, expected ${threads}`);
  const complete = async (ids: readonly number[], count: number): Promise<Timings> => {
    const options = {
      prompt: ids.map(word).join(""),
      max_tokens: count,
      temperature: 0,
      ignore_eos: true,
      cache_prompt: false,
    };
    const { timings } = await peer.createCompletion(options);
    if (timings?.cache_n !== 0 || timings.prompt_n !== ids.length || timings.predicted_n !== count)
      throw new Error(
        `wllama: expected a prompt of ${ids.length} and ${count} tokens, found ${JSON.stringify(timings)}`,
      );
    return timings;
  };
  const next = prompts(work, files);
  await warm(() => complete(next(), decodeTokens));
  const runs: Timings[] = [];
  for (let i = 0; i < repeats; i++) runs.push(await complete(next(), decodeTokens));
  await peer.exit();
  return {
    prefillTps: runs.map((run) => (promptTokens / run.prompt_ms) * 1000),
    // predicted_ms starts at the first token: it is the time of the others.
    decodeTps: decodeTokens > 1 ? runs.map((run) => ((decodeTokens - 1) / run.predicted_ms) * 1000) : [],
    loadMs,
    peakRssBytes: null,
    engine: `llama.cpp ${Peer.getLibllamaVersion()} in WebAssembly`,
  };
}

/** Called by the harness. */
export type Measure = (side: SideName, work: Work, files: PageFiles) => Promise<Sample>;

(globalThis as { measure?: Measure }).measure = (side, work, files) => {
  if (!crossOriginIsolated) throw new Error("the page is not cross-origin isolated: there are no shared memories");
  return side === "ours" ? ours(work, files) : wllama(work, files);
};
