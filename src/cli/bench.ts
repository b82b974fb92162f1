// `hotset bench`: measures loading, prefill and decode of one model on one backend, and prints them
// as JSON or a table.

import { cpus } from "node:os";
import type { Command } from "commander";
import type { GenerationResult, ModelStats } from "../engine/api.ts";
import { allBytes } from "../engine/places.ts";
import { randomFrom } from "../engine/random.ts";
import { RequestError } from "../errors.ts";
import { type Model, open } from "../index.ts";
import { reportOpened } from "./debug.ts";
import { interruptible } from "./interrupt.ts";
import { addModelOptions, MODEL_ARGUMENT, type ModelFlags, openOptions } from "./model_options.ts";
import { openPlace } from "./open_place.ts";
import { formatBytes, formatRate, formatSeconds, print } from "./output.ts";
import { integer } from "./values.ts";

interface BenchFlags extends ModelFlags {
  readonly promptTokens: number;
  readonly decodeTokens: number;
  readonly repeats: number;
  readonly seed: number;
  readonly json?: true;
}

/** The output of --json. Rates are tokens a second; null where nothing was measured. */
export interface BenchReport {
  readonly model: string;
  readonly backend: ModelStats["backend"];
  readonly weights: ModelStats["weights"];
  readonly kv: ModelStats["kv"];
  readonly promptTokens: number;
  readonly decodeTokens: number;
  readonly repeats: number;
  readonly seed: number;
  /** Median over the repeats. */
  readonly prefillTps: number;
  /** Median over the repeats, for the tokens after the first; null with fewer than two tokens. */
  readonly decodeTps: number | null;
  readonly samples: { readonly prefillTps: readonly number[]; readonly decodeTps: readonly number[] };
  readonly loadMs: number;
  /** Largest resident set of the process since its start. */
  readonly peakRssBytes: number;
  /** Bytes that the backend holds at the end. */
  readonly memory: ModelStats["memory"];
  readonly node: string;
  readonly platform: string;
  readonly cpu: string;
}

export function addBench(program: Command): void {
  const command = program
    .command("bench")
    .description("measure loading, prefill and decode of one model on one backend")
    .argument("<model>", `${MODEL_ARGUMENT}, or synthetic:mixtral-8x7b?layers=2`);
  addModelOptions(command)
    .option("--prompt-tokens <count>", "length of the prompt", integer(1), 128)
    .option("--decode-tokens <count>", "tokens to generate after it", integer(1), 32)
    .option("--repeats <count>", "times to measure; the medians are reported", integer(1, 1000), 3)
    .option("--seed <integer>", "of the random prompt", integer(0), 1)
    .option("--json", "print one JSON object instead of a table")
    .action(async (model: string, flags: BenchFlags) => {
      await interruptible(async (signal) => {
        const report = await bench(model, flags, signal);
        await print(flags.json ? `${JSON.stringify(report)}\n` : table(report), signal);
      });
    });
}

async function bench(label: string, flags: BenchFlags, signal: AbortSignal): Promise<BenchReport> {
  const model = reportOpened(await openPlace(open, label, openOptions(flags), flags, signal));
  try {
    const { promptTokens, decodeTokens, repeats, seed } = flags;
    const { context } = model.stats();
    if (promptTokens + decodeTokens > context)
      throw new RequestError(
        `bench: ${promptTokens} prompt and ${decodeTokens} decoded tokens do not fit in the context of ${context}; ask for fewer`,
      );
    // Each repeat has a prompt of its own: the keys of one that was computed before are cached.
    const prompt = (repeat: number): number[] => {
      const random = randomFrom(seed + repeat);
      return Array.from({ length: promptTokens }, () => Math.floor(random() * model.architecture.vocab));
    };
    // A short run first, so that compilers and caches are warm.
    await measure(model, prompt(repeats).slice(0, 8), 2, signal);
    const runs: GenerationResult[] = [];
    for (let i = 0; i < repeats; i++) runs.push(await measure(model, prompt(i), decodeTokens, signal));
    const prefillTps = runs.map((run) => run.timings.promptTps);
    const decodeTps = decodeTokens > 1 ? runs.map((run) => run.timings.decodeTps) : [];
    const { backend, weights, kv, loadMs, memory } = model.stats();
    return {
      model: label,
      backend,
      weights,
      kv,
      promptTokens,
      decodeTokens,
      repeats,
      seed,
      prefillTps: median(prefillTps) as number,
      decodeTps: median(decodeTps),
      samples: { prefillTps, decodeTps },
      loadMs,
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
      memory,
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
      cpu: cpus()[0]?.model.trim() ?? "unknown",
    };
  } finally {
    await model.close();
  }
}

/** One generation of a prompt of which nothing may be cached. */
async function measure(
  model: Model,
  prompt: readonly number[],
  maxTokens: number,
  signal: AbortSignal,
): Promise<GenerationResult> {
  const session = model.session();
  try {
    for await (const piece of session.generate(prompt, { maxTokens, temperature: 0, ignoreEos: true, signal }))
      if (piece.finish) {
        const { cachedTokens } = piece.finish;
        if (cachedTokens > 0) throw new Error(`bench: ${cachedTokens} tokens of the prompt were cached`);
        return piece.finish;
      }
  } finally {
    session.close();
  }
  throw new Error("the generation ended without a result");
}

/** The median; null without values. */
function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const low = sorted[Math.floor((sorted.length - 1) / 2)];
  const high = sorted[Math.floor(sorted.length / 2)];
  return low === undefined || high === undefined ? null : (low + high) / 2;
}

function table(report: BenchReport): string {
  const { backend, memory } = report;
  const rows = [
    ["model", report.model],
    ["backend", `${backend.backend} ${backend.device}, ${backend.threads} thread${backend.threads === 1 ? "" : "s"}`],
    ["weights, kv", `${report.weights}, ${report.kv}`],
    ["load", formatSeconds(report.loadMs)],
    [`prefill ${report.promptTokens}`, formatRate(report.prefillTps)],
    [`decode ${report.decodeTokens}`, formatRate(report.decodeTps)],
    ["memory", formatBytes(allBytes(memory))],
    ["peak RSS", formatBytes(report.peakRssBytes)],
  ];
  return rows.map(([name, value]) => `${name?.padEnd(12)}  ${value}\n`).join("");
}
