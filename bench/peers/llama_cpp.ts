// llama.cpp on the CPU through node-llama-cpp: one measurement, as a process of its own, printed as
// one JSON line.
//
// node dist/bench/peers/llama_cpp.js '{"package": folder, "gguf": file, "work": {...}}'

import { openLlama, type Timed } from "./llama_model.ts";
import { promptIds, type Sample, type Work } from "./types.ts";

/** As `hotset bench` does: a short warm-up run, then the repeats. */
async function measure(folder: string, gguf: string, work: Work): Promise<Sample> {
  const { promptTokens, decodeTokens, repeats, threads } = work;
  const started = performance.now();
  const model = await openLlama(folder, gguf, threads);
  const generate = await model.context(promptTokens + decodeTokens, decodeTokens > 1);
  const loadMs = performance.now() - started;
  const prompt = (repeat: number): number[] => promptIds({ ...work, seed: work.seed + repeat }, model.vocab);
  await generate(prompt(repeats).slice(0, 8), 2);
  const runs: Timed[] = [];
  for (let i = 0; i < repeats; i++) runs.push(await generate(prompt(i), decodeTokens));
  return {
    prefillTps: runs.map(({ prefillMs }) => (promptTokens / prefillMs) * 1000),
    decodeTps: decodeTokens > 1 ? runs.map(({ decodeMs }) => ((decodeTokens - 1) / decodeMs) * 1000) : [],
    loadMs,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    engine: model.engine,
  };
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
