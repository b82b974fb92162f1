// `npm run bench -- contexts`: what a decoded token and a piece of a prompt cost behind 0, 2,048,
// 8,192 and 32,768 positions.
//
// The positions before are never computed, because times do not depend on what the cache holds.

import { cpus } from "node:os";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { FORMATS, PACKABLE, type PackableName } from "../kernels/formats/index.ts";
import { createCpuOps } from "../src/backend/cpu/cpu.ts";
import { startNodeWorker, usableCores } from "../src/backend/cpu/node_threads.ts";
import { enableWasmFeatures } from "../src/backend/cpu/node_wasm.ts";
import type { KvPrecision } from "../src/backend/ops.ts";
import { RequestError } from "../src/errors.ts";
import { forward, loadDecoder } from "../src/model/decoder.ts";
import { kvGeometry } from "../src/model/family.ts";
import { kvBlockBytes } from "../src/model/footprint.ts";
import { keep } from "../src/model/formats.ts";
import { settleSources } from "../src/model/input_order.ts";
import { exitCode, oneOf, resultName, whole } from "./arguments.ts";
import { captionOf, pictureOf, ticksTo } from "./chart/frame.ts";
import { type Chart, lineChart } from "./chart/lines.ts";
import { openSteps } from "./node_steps.ts";
import { median } from "./residency/bounds.ts";
import { about, stamp, writePicture, writeResult } from "./result.ts";
import { BLOCK, batchOf } from "./steps.ts";
import { openWeights } from "./weights.ts";

const USAGE = `usage: npm run bench -- contexts [--model <a model>] [--contexts 0,2k,8k,32k] [--backend cpu|webgpu] [--weights q4] [--kv f32|f16|q8]
         [--threads <n>] [--prompt 128] [--tokens 8] [--rounds 3] [--adapter <part of a name>] [--name <of the result>]`;

interface Options {
  readonly model: string;
  readonly contexts: readonly number[];
  readonly backend: "cpu" | "webgpu";
  readonly weights: PackableName;
  readonly kv: KvPrecision;
  readonly threads: number;
  /** Tokens of the prompt's piece. */
  readonly prompt: number;
  /** Tokens that are decoded, each at its own position. */
  readonly tokens: number;
  readonly rounds: number;
  readonly adapter: string | undefined;
  readonly name: string | undefined;
}

/** Medians behind so many positions, tokens a second, and those of every round. */
export interface ContextRow {
  readonly context: number;
  readonly prefillTps: number;
  readonly decodeTps: number;
  readonly samples: { readonly prefillTps: readonly number[]; readonly decodeTps: readonly number[] };
  /** Bytes of keys and values before the first decoded token. */
  readonly kvBytes: number;
}

/** A model whose steps may begin anywhere. */
interface Steps {
  readonly engine: string;
  /** The most positions that the model has. */
  readonly most: number;
  /** Bytes of keys and values of a position. */
  readonly kvBytes: number;
  reserve(positions: number): Promise<void>;
  prefill(first: number, count: number): Promise<void>;
  decode(first: number, count: number): Promise<void>;
  close(): Promise<void>;
}

/** Measures; returns the exit code. */
export function contextsCommand(root: URL, args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, async (options) => {
    await run(root, args, options);
    return 0;
  });
}

async function run(root: URL, args: readonly string[], options: Options): Promise<void> {
  const { model, weights, kv, backend, prompt, tokens, rounds } = options;
  const name = options.name ?? `${stamp(root)}-contexts`;
  const said = args.map((word) => (word === model && !word.includes("?") ? basename(word) : word));
  const head = about(root, name, ["contexts", ...said]);
  const steps = await (backend === "cpu" ? cpuSteps(options) : gpuSteps(options));
  try {
    const longest = Math.max(prompt, tokens);
    const [contexts, beyond] = within(options.contexts, steps.most, longest);
    for (const context of beyond) console.error(`${context} positions: left out, ${model} has ${steps.most}`);
    if (contexts.length === 0)
      throw new RequestError(`--contexts: expected one that ${model} has room for, of ${steps.most} positions`);
    const rows: ContextRow[] = [];
    await steps.reserve(Math.max(...contexts) + longest);
    const taken = contexts.map(() => ({ prefillTps: [] as number[], decodeTps: [] as number[] }));
    for (let round = 0; round <= rounds; round++)
      for (const [i, context] of contexts.entries()) {
        const prefillTps = await rateOf(prompt, () => steps.prefill(context, prompt));
        const decodeTps = await rateOf(tokens, () => steps.decode(context, tokens));
        if (round === 0) continue; // warms up
        taken[i]!.prefillTps.push(prefillTps);
        taken[i]!.decodeTps.push(decodeTps);
      }
    for (const [i, context] of contexts.entries()) {
      const samples = taken[i]!;
      const [prefillTps, decodeTps] = [median(samples.prefillTps), median(samples.decodeTps)];
      rows.push({ context, prefillTps, decodeTps, samples, kvBytes: context * steps.kvBytes });
      console.log(
        `${String(context).padStart(7)} positions: prefill ${prefillTps.toFixed(1).padStart(9)} tok/s, decode ${decodeTps.toFixed(2).padStart(8)} tok/s`,
      );
    }
    const result = { model: basename(model), backend: steps.engine, weights, kv, promptTokens: prompt, tokens, rounds };
    writeResult(root, name, { ...head, kind: "contexts", ...result, rows, beyond });
    const of = `${basename(model)}, ${weights}, cache ${kv}, ${backend === "cpu" ? `${options.threads} threads` : steps.engine}`;
    writePicture(root, name, contextsPicture(rows, of, prompt, captionOf(head)));
    console.log(`written to bench/results/${name}.json and ${name}.svg`);
  } finally {
    await steps.close();
  }
}

/**
 * Contexts that a model of `most` positions has, the last one less the `room` that is measured
 * behind it, and those that it has not.
 */
export function within(contexts: readonly number[], most: number, room: number): [number[], number[]] {
  const inside = contexts.filter((context) => context <= most).map((context) => Math.min(context, most - room));
  return [[...new Set(inside)].filter((context) => context >= 0), contexts.filter((context) => context > most)];
}

/** Tokens a second. */
async function rateOf(tokens: number, work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return (1000 * tokens) / (performance.now() - started);
}

async function cpuSteps({ model: where, weights, kv, threads, prompt }: Options): Promise<Steps> {
  enableWasmFeatures();
  const { architecture, sources, close } = await openWeights(where);
  const ops = await createCpuOps({
    maxTokens: prompt,
    threads,
    deviceName: cpus()[0]?.model.trim() ?? "CPU",
    startWorker: startNodeWorker,
  });
  try {
    const settled = await settleSources(sources);
    const model = await loadDecoder(ops, architecture, settled, { plan: keep(FORMATS[weights]) });
    const cache = ops.createKv(kvGeometry(architecture), kv, BLOCK);
    const step = async (first: number, count: number): Promise<void> => {
      await ops.read(await forward(ops, model, cache, batchOf(first, count, architecture.vocab, true)));
    };
    return {
      engine: JSON.stringify(ops.info),
      most: architecture.context,
      kvBytes: kvBlockBytes(kvGeometry(architecture), kv, 1).blockBytes,
      reserve: (positions) => cache.reserve(Math.ceil(positions / BLOCK)),
      prefill: step,
      async decode(first, count) {
        for (let i = 0; i < count; i++) await step(first + i, 1);
      },
      async close() {
        cache.close();
        ops.close();
      },
    };
  } catch (error) {
    ops.close();
    throw error;
  } finally {
    await close();
  }
}

async function gpuSteps({ model, weights, kv, prompt, adapter }: Options): Promise<Steps> {
  const steps = await openSteps(model, { weights, kv, chunk: prompt, adapter });
  await steps.warmUp();
  return {
    engine: steps.ops.info.device,
    most: steps.architecture.context,
    kvBytes: kvBlockBytes(kvGeometry(steps.architecture), kv, 1, true).blockBytes,
    reserve: (positions) => steps.reserve(positions),
    prefill: (first, count) => steps.step(first, count, true),
    decode: (first, count) => steps.decode(first, count),
    close: () => steps.close(),
  };
}

/** Two charts, one below the other: a decoded token, and a piece of a prompt. */
export function contextsPicture(
  rows: readonly ContextRow[],
  of: string,
  prompt: number,
  caption: readonly string[],
): string {
  const chart = (title: string, colour: number, rate: (row: ContextRow) => number): Chart => ({
    title,
    subtitle: of,
    x: { label: "positions before", ticks: rows.map(({ context }) => context), even: true },
    y: {
      label: "tokens a second",
      ticks: ticksTo(Math.max(...rows.map(rate))),
      show: (value) => value.toLocaleString("en"),
    },
    lines: [
      { name: title.split(" ")[0]!, colour, bold: true, points: rows.map((row) => [row.context, rate(row)] as const) },
    ],
  });
  const drawings = [
    chart("Decoding a token", 2, ({ decodeTps }) => decodeTps),
    chart(`Prefill of ${prompt} tokens`, 1, ({ prefillTps }) => prefillTps),
  ].map(lineChart);
  return pictureOf("Speed by positions in the cache", drawings, caption);
}

/** "0,2k,8k" as numbers; a k is 1,024. @throws RequestError */
export function contextsOf(text: string): number[] {
  const all = text.split(",").map((one) => {
    const [, digits, k] = /^(\d{1,7})(k?)$/.exec(one) ?? [];
    if (digits === undefined)
      throw new RequestError(`--contexts: expected numbers of positions as 0,2k,8k, found "${one}"`);
    return Number(digits) * (k === "k" ? 1024 : 1);
  });
  return [...new Set(all)].sort((a, b) => a - b);
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: "string", default: "synthetic:mixtral-8x7b?layers=2" },
      contexts: { type: "string", default: "0,2k,8k,32k" },
      backend: { type: "string", default: "cpu" },
      weights: { type: "string", default: "q4" },
      kv: { type: "string" },
      threads: { type: "string" },
      prompt: { type: "string", default: "128" },
      tokens: { type: "string", default: "8" },
      rounds: { type: "string", default: "3" },
      adapter: { type: "string" },
      name: { type: "string" },
    },
  });
  const backend = oneOf("backend", values.backend, ["cpu", "webgpu"]);
  return {
    model: values.model,
    contexts: contextsOf(values.contexts),
    backend,
    weights: oneOf<PackableName>("weights", values.weights, PACKABLE),
    kv: oneOf("kv", values.kv ?? (backend === "cpu" ? "f32" : "f16"), ["q8", "f16", "f32"]),
    threads: values.threads === undefined ? usableCores() : whole("threads", values.threads),
    prompt: whole("prompt", values.prompt),
    tokens: whole("tokens", values.tokens),
    rounds: whole("rounds", values.rounds),
    adapter: values.adapter,
    name: values.name === undefined ? undefined : resultName(values.name),
  };
}
