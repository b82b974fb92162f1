// `npm run bench -- --profile`: the cost of each kernel in a decoded token or a prompt on WebGPU,
// as a table and as JSON.

import { mkdirSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { PACKABLE, type PackableName } from "../kernels/formats/index.ts";
import { variantInWords } from "../src/backend/webgpu/tuning/words.ts";
import { formatBytes, formatSeconds } from "../src/cli/output.ts";
import { RequestError } from "../src/errors.ts";
import { exitCode, oneOf, resultName, whole, wholes } from "./arguments.ts";
import { decodeCase, parseCases, promptCase } from "./cases.ts";
import { openSteps } from "./node_steps.ts";
import { type KernelRow, type ProfileCase, type ProfileOptions, type ProfileReport, profile } from "./profile.ts";
import { about, stamp } from "./result.ts";

const USAGE = `usage: npm run bench -- --profile [--model <folder or synthetic:...>] [--weights q4|q4_k|...] [--kv f16|f32]
         [--contexts 0,1024] [--rows 1,16] [--prompts 512] | [--cases 1@0,p512,16@4096]
         [--tokens <to decode>] [--chunk 512] [--adapter <part of a name>]
         [--budget <seconds>] [--name <of the result> | --out <file>] [--json]`;

/** Runs a profile as the arguments say; returns the exit code. */
export function profileCommand(root: URL, args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, (options) => run(root, args, options));
}

async function run(root: URL, args: readonly string[], options: Parsed): Promise<number> {
  const name = options.name ?? `${stamp(root)}-profile`;
  const head = { ...about(root, name, args), kind: "profile" };
  const result = (report: ProfileReport) => ({ ...head, report });
  const file = options.out ?? new URL(`bench/results/${name}.json`, root);
  if (options.out === undefined) mkdirSync(new URL("bench/results/", root), { recursive: true });
  // Written after each case, so that an aborted run leaves its results.
  const write = (report: ProfileReport): void => writeFileSync(file, `${JSON.stringify(result(report), null, 2)}\n`);
  const started = performance.now();
  const steps = await openSteps(options.model, options);
  const { budgetMs } = options;
  const report = await profile(steps, {
    ...options,
    ...(budgetMs !== undefined && { budgetMs: budgetMs - (performance.now() - started) }),
    onCase(done, soFar) {
      write(soFar);
      if (options.json) return;
      if (soFar.cases.length === 1) console.log(headOf(soFar));
      console.log(caseTable(done, soFar));
    },
  }).finally(() => steps.close());
  write(report);
  if (options.json) console.log(JSON.stringify(result(report)));
  else {
    for (const { name, error } of report.failed) console.log(`${name}: ${error}`);
    if (report.skipped.length > 0) console.log(`not begun within the budget of time: ${report.skipped.join(", ")}`);
    console.log(`written to ${options.out ?? `bench/results/${name}.json`}`);
  }
  return 0;
}

interface Parsed extends ProfileOptions {
  readonly adapter: string | undefined;
  readonly name: string | undefined;
  readonly out: string | undefined;
  readonly json: boolean;
}

function parse(args: readonly string[]): Parsed {
  const { values } = parseArgs({
    args: [...args],
    options: {
      profile: { type: "boolean" },
      model: { type: "string", default: "models/tales" },
      weights: { type: "string", default: "q4" },
      kv: { type: "string", default: "f16" },
      contexts: { type: "string", default: "0,1024" },
      rows: { type: "string", default: "1" },
      prompts: { type: "string", default: "512" },
      cases: { type: "string" },
      tokens: { type: "string", default: "16" },
      chunk: { type: "string", default: "512" },
      adapter: { type: "string" },
      budget: { type: "string" },
      name: { type: "string" },
      out: { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  const { model, adapter, out, json } = values;
  const contexts = wholes("contexts", values.contexts, 0);
  const products = [
    ...wholes("rows", values.rows, 1).flatMap((rows) => contexts.map((context) => decodeCase(rows, context))),
    ...wholes("prompts", values.prompts, 1).map(promptCase),
  ];
  return {
    model,
    weights: oneOf<PackableName>("weights", values.weights, PACKABLE),
    kv: oneOf("kv", values.kv, ["f16", "f32", "q8"]),
    cases: values.cases === undefined ? products : parseCases("--cases", values.cases),
    tokens: whole("tokens", values.tokens, 1),
    chunk: whole("chunk", values.chunk, 1),
    adapter,
    ...(values.budget === undefined ? {} : { budgetMs: seconds(values.budget) }),
    name: values.name === undefined ? undefined : resultName(values.name),
    out,
    json,
  };
}

/** Milliseconds. */
function seconds(text: string): number {
  if (!/^\d{1,6}(\.\d+)?$/.test(text)) throw new RequestError(`--budget: expected seconds, found "${text}"`);
  return 1000 * Number(text);
}

function headOf({ model, backend, weights, kv, loadMs, copy, memory, tuned }: ProfileReport): string {
  const lines = [
    ["model", `${model}, ${weights}, cache ${kv}`],
    ["adapter", [`${backend.device}${backend.software ? " (software)" : ""}`, ...backend.features].join(", ")],
    ["load", `${formatSeconds(loadMs)}, ${formatBytes(memory.weights)} of weights`],
    [
      "copy",
      `${formatBytes(copy.bytesPerSecond)}/s read and written (a kernel, ${formatBytes(copy.bytes)} to as much)`,
    ],
    ...Object.entries(tuned).map(([problem, found]) => ["tuned", `${problem}: ${variantInWords(found)}`]),
    ...(backend.leftOut ?? []).map((why) => ["left out", why]),
  ];
  return lines.map(([name, value]) => `${name!.padEnd(12)}${value}\n`).join("");
}

const COARSE_NS = 1000;
const COLUMNS = ["calls", "ms", "%", "bytes", "GB/s", "% copy", "GFLOP/s"];

function caseTable(c: ProfileCase, report: ProfileReport): string {
  const decode = c.kind === "decode";
  const width = Math.max(...c.kernels.map(({ kernel }) => kernel.length)) + 2;
  const cells = (first: string, rest: readonly string[]): string =>
    first.padEnd(width) + rest.map((cell) => cell.padStart(10)).join("");
  const layer = c.dispatchesPerLayer === null ? "" : ` (${c.dispatchesPerLayer} a layer of ${report.layers})`;
  const more = ((c.weightBytes / c.leastWeightBytes - 1) * 100).toFixed(1);
  return [
    `${c.name}: ${c.stepMs.toFixed(3)} ms, ${c.tokensPerSecond.toFixed(1)} tok/s`,
    cells(`  per ${decode ? "step" : "prompt"}`, COLUMNS),
    ...c.kernels.map((row) => cells(`  ${row.kernel}`, kernelCells(row))),
    c.kernelMs === null || c.spanMs === null
      ? "  this adapter has no timestamps: no times of kernels"
      : `${coarse(c)}  kernels ${c.kernelMs.toFixed(3)} ms of ${c.spanMs.toFixed(3)} ms from the first to the last; timing them made a step ${c.profiledStepMs.toFixed(3)} ms (${c.addedMs >= 0 ? "+" : ""}${c.addedMs.toFixed(3)})`,
    `  dispatches ${c.dispatches}${layer}, submits ${c.submits}, readbacks ${c.readbacks} of ${formatBytes(c.bytesRead)}, made after warm-up ${c.created}`,
    `  weights at ${(100 * c.weightsOfCopy).toFixed(1)} % of the copy: ${formatBytes(c.weightBytes)}, at least ${formatBytes(c.leastWeightBytes)} (${c.weightBytes >= c.leastWeightBytes ? "+" : ""}${more} %)\n`,
  ].join("\n");
}

/** A note on timestamps that are longer than kernels may take. */
function coarse({ grainNs }: ProfileCase): string {
  if (grainNs === null || grainNs < COARSE_NS) return "";
  return `  timestamps are multiples of ${(grainNs / 1000).toFixed(1)} us: times of kernels are sums over layers and steps\n`;
}

function kernelCells(row: KernelRow): string[] {
  const show = (value: number | null, scale: number, digits: number): string =>
    value === null ? "-" : (value * scale).toFixed(digits);
  return [
    row.calls.toFixed(Number.isInteger(row.calls) ? 0 : 1),
    show(row.ms, 1, 3),
    show(row.share, 100, 1),
    formatBytes(row.bytes),
    show(row.bytesPerSecond, 1e-9, 2),
    show(row.ofCopy, 100, 1),
    show(row.flopsPerSecond, 1e-9, 1),
  ];
}
