// Runs in the page: measurements of hotset's CPU backend or of wllama, each in a tab of its own.

import type { Model } from "../../src/browser.ts";
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

/** Of unmeasured work: longer than V8 takes to recompile a running module with optimizations. */
const WARM_MS = 4000;
/** No repeat starts after so long: threads that wait for each other crawl on a busy machine. */
const LONG_MS = 60_000;

/** One side, loaded. */
interface Loaded {
  /** From the first request for the model until a token can be asked for. */
  readonly loadMs: number;
  /** What computes, in its own words. */
  readonly engine: string;
  /** Rates of the prompt and of the tokens after the first. */
  complete(ids: readonly number[], count: number): Promise<{ readonly prefill: number; readonly decode: number }>;
  close(): Promise<void>;
}

type Load = (work: Work, files: PageFiles) => Promise<Loaded>;

/** The library is loaded as wllama's is: not before this side is measured. */
const ours: Load = async ({ threads }, files) => {
  const { open } = await import("../../src/browser.ts");
  const started = performance.now();
  const model = await open(files.weights, { backend: "cpu", weights: "q4", threads });
  return {
    loadMs: performance.now() - started,
    engine: JSON.stringify(model.stats().backend),
    async complete(ids, count) {
      const { timings } = await generate(model, ids, count);
      return { prefill: timings.promptTps, decode: timings.decodeTps };
    },
    close: () => model.close(),
  };
};

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

const wllama: Load = async ({ promptTokens, decodeTokens, threads }, files) => {
  const { Wllama: Peer } = (await import(/* @vite-ignore */ files.wllama.module)) as WllamaModule;
  const started = performance.now();
  const peer = new Peer({ default: files.wllama.wasm }, { suppressNativeLog: true });
  const blob = await (await fetch(files.gguf)).blob();
  // One sequence, as on our side; no adapter, to compare the CPU.
  const size = Math.ceil((promptTokens + decodeTokens + 1) / 256) * 256;
  await peer.loadModel([blob], { n_ctx: size, n_threads: threads, n_gpu_layers: 0, n_parallel: 1 });
  const loadMs = performance.now() - started;
  if (peer.getNumThreads() !== threads)
    throw new Error(`wllama runs on ${peer.getNumThreads()} threads, expected ${threads}`);
  return {
    loadMs,
    engine: `llama.cpp ${Peer.getLibllamaVersion()} in WebAssembly`,
    async complete(ids, count) {
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
      // predicted_ms starts at the first token: it is the time of the others.
      const { prompt_ms, predicted_ms } = timings;
      return { prefill: (ids.length / prompt_ms) * 1000, decode: ((count - 1) / predicted_ms) * 1000 };
    },
    close: () => peer.exit(),
  };
};

function load(side: SideName, work: Work, files: PageFiles): Promise<Loaded> {
  if (!crossOriginIsolated) throw new Error("the page is not cross-origin isolated: there are no shared memories");
  return (side === "ours" ? ours : wllama)(work, files);
}

/** What is measured in a page that is there already. */
export type Measured = Omit<Sample, "firstTokenMs">;

async function measure(side: SideName, work: Work, files: PageFiles): Promise<Measured> {
  const { loadMs, engine, complete, close } = await load(side, work, files);
  const { decodeTokens } = work;
  const next = prompts(work, files);
  // Equally long on both sides.
  const started = performance.now();
  const elapsed = (): number => performance.now() - started;
  while (elapsed() < WARM_MS) await complete(next(), decodeTokens);
  const runs: Awaited<ReturnType<typeof complete>>[] = [];
  while (runs.length < work.repeats && (runs.length === 0 || elapsed() < LONG_MS))
    runs.push(await complete(next(), decodeTokens));
  await close();
  return {
    prefillTps: runs.map(({ prefill }) => prefill),
    decodeTps: decodeTokens > 1 ? runs.map(({ decode }) => decode) : [],
    loadMs,
    peakRssBytes: null,
    engine,
  };
}

/** Milliseconds from the navigation to the first token, in a page that does nothing else. */
async function firstToken(side: SideName, work: Work, files: PageFiles): Promise<number> {
  const { complete } = await load(side, work, files);
  await complete(prompts(work, files)(), 1);
  return performance.now(); // its clock starts with the navigation
}

type Arguments = readonly [side: SideName, work: Work, files: PageFiles];

const first = new URLSearchParams(location.search).get("first");
Object.assign(globalThis, first === null ? { measure } : { first: firstToken(...(JSON.parse(first) as Arguments)) });
