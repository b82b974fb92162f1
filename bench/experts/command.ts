// `npm run bench -- experts`: replays routing traces with every policy and number of slots, and
// writes tables, JSON and two charts.

import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { RequestError } from "../../src/errors.ts";
import { decodes, parseTrace, type Trace, traceHeader, traceLine } from "../../src/experts/trace.ts";
import { bytes, exitCode, resultName, whole, wholes } from "../arguments.ts";
import { about } from "../result.ts";
import { collectTraces, randomTrace } from "./collect.ts";
import { figuresOf, type Means, type Metric, means, type PolicyFigures } from "./figures.ts";
import { hitRateChart, uploadsChart } from "./pictures.ts";
import { type Split, splits } from "./split.ts";
import { together, togetherTable } from "./together.ts";

const USAGE = `usage: npm run bench -- experts [--trace <file> ...] [--slots 2,3,4] [--memory 28,30] [--name <of the result>] [--out <folder>] [--json]
       npm run bench -- experts --record [--model <folder>] [--out <folder>]   default: bench/experts/traces
       npm run bench -- experts --record --random <tokens> --model <folder or GGUF file> --out <folder> [--ram 12GiB]`;

/** The largest trace: it is read whole. 256 MiB are a million tokens of Mixtral 8x7B. */
const LARGEST = 2 ** 28;

/** Runs a replay, or collects traces; returns the exit code. */
export function expertsCommand(root: URL, args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, async (options) => {
    if (options.record) await recordAll(root, options);
    else replayAll(root, args, options);
    return 0;
  });
}

interface Options {
  readonly traces: readonly string[];
  readonly slots: readonly number[] | null;
  /** Experts of all layers that a memory has room for. */
  readonly memory: readonly number[];
  readonly name: string;
  readonly out: string | undefined;
  readonly json: boolean;
  readonly record: boolean;
  readonly model: string;
  /** Random tokens to record; null: texts. */
  readonly random: number | null;
  readonly ram: number | undefined;
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      trace: { type: "string", multiple: true, default: [] },
      slots: { type: "string" },
      memory: { type: "string" },
      name: { type: "string" },
      out: { type: "string" },
      json: { type: "boolean", default: false },
      record: { type: "boolean", default: false },
      model: { type: "string", default: "models/tales" },
      random: { type: "string" },
      ram: { type: "string" },
    },
  });
  const slots = values.slots === undefined ? undefined : wholes("slots", values.slots);
  if (values.random !== undefined && (!values.record || values.out === undefined))
    throw new RequestError("--random: expected --record and --out <folder> with it");
  // The result of the committed traces has a fixed name, because it depends on nothing else.
  const name = values.name ?? (values.trace.length === 0 && slots === undefined ? "experts" : "experts-own");
  return {
    traces: values.trace,
    slots: slots ? [...new Set(slots)].sort((a, b) => a - b) : null,
    name: resultName(name),
    out: values.out,
    json: values.json,
    record: values.record,
    model: values.model,
    memory: values.memory === undefined ? [] : wholes("memory", values.memory),
    random: values.random === undefined ? null : whole("random", values.random),
    ram: values.ram === undefined ? undefined : bytes("ram", values.ram),
  };
}

async function recordAll(root: URL, { model, out, random, ram }: Options): Promise<void> {
  const folder = out ?? fileURLToPath(new URL("bench/experts/traces", root));
  mkdirSync(folder, { recursive: true });
  const write = (kind: string, trace: Trace): void => {
    const file = join(folder, `${kind}.jsonl`);
    writeFileSync(file, traceHeader(trace) + trace.steps.map(traceLine).join(""));
    console.log(`${file}: ${trace.steps.filter(decodes).length} decoded tokens`);
  };
  if (random === null) await collectTraces(model, write);
  else write("random", await randomTrace(model, random, ram));
}

/** A trace and its name. */
interface Named {
  readonly name: string;
  readonly trace: Trace;
}

function readTraces(root: URL, files: readonly string[]): Named[] {
  const folder = new URL("bench/experts/traces/", root);
  const own = () => readdirSync(folder).filter((file) => file.endsWith(".jsonl"));
  const paths = files.length > 0 ? files : own().map((file) => fileURLToPath(new URL(file, folder)));
  return paths.map((path) => {
    const name = basename(path, ".jsonl");
    return { name, trace: parseTrace(readText(path), path) };
  });
}

function readText(path: string): string {
  try {
    if (statSync(path).size > LARGEST)
      throw new RequestError(`${path}: expected a trace of at most ${LARGEST} bytes; cut it at a line's end`);
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof RequestError) throw error;
    throw new RequestError(`${path}: cannot be read: ${(error as Error).message}`);
  }
}

function replayAll(root: URL, args: readonly string[], options: Options): void {
  const { traces: files, slots: asked, name, json } = options;
  const traces = readTraces(root, files);
  const { experts, k } = traces[0]!.trace;
  const other = traces.find(({ trace }) => trace.experts !== experts || trace.k !== k);
  if (other)
    throw new RequestError(
      `${other.name}: expected ${k} of ${experts} experts a token as in ${traces[0]!.name}, found ${other.trace.k} of ${other.trace.experts}; replay models of different shapes one by one`,
    );
  // Below K slots the experts of one token do not fit.
  const slots = asked ?? Array.from({ length: experts - k + 1 }, (_, i) => k + i);
  if (slots.at(-1)! > experts)
    throw new RequestError(`--slots: expected at most the ${experts} experts of a layer, found ${slots.at(-1)}`);

  const results = traces.map(({ name, trace }) => ({
    trace: name,
    model: trace.model,
    layers: trace.layers,
    experts,
    k,
    decodedTokens: trace.steps.reduce((sum, step) => sum + (decodes(step) ? step.tokens : 0), 0),
    promptTokens: trace.steps.reduce((sum, step) => sum + (decodes(step) ? 0 : step.tokens), 0),
    policies: figuresOf(trace, slots),
    ...(options.memory.length > 0 && { together: together(trace, options.memory) }),
  }));
  const mean = means(results.map(({ policies }) => policies));
  const all = traces.map(({ trace }) => trace);
  const memory = splits(
    all,
    slots.filter((n) => n < experts),
  );
  const result = {
    ...about(root, name, ["experts", ...args]),
    kind: "experts",
    traces: results,
    mean,
    memory,
  };
  const folder = options.out ?? fileURLToPath(new URL("bench/results", root));
  mkdirSync(folder, { recursive: true });
  const write = (file: string, text: string): void => writeFileSync(join(folder, file), text);
  write(`${name}.json`, `${JSON.stringify(result, null, 1)}\n`);
  const names = traces.length > 4 ? `${traces.length} traces` : traces.map(({ name }) => name).join(", ");
  const what = `${names}: ${results.reduce((sum, { decodedTokens }) => sum + decodedTokens, 0)} decoded tokens of ${traces[0]!.trace.model}`;
  const perToken = k * traces[0]!.trace.layers;
  write(`${name}-hit-rate.svg`, hitRateChart(mean, slots, what, experts));
  write(`${name}-uploads.svg`, uploadsChart(mean, slots, `${what}, which uses ${perToken} a token`, experts));
  if (json) {
    console.log(JSON.stringify(result));
    return;
  }
  for (const { trace, decodedTokens, policies } of results)
    console.log(table(`${trace}: hit rate of ${decodedTokens} decoded tokens`, policies, slots, "hitRate"));
  for (const [metric, title] of TITLES) console.log(table(`mean: ${title}`, mean, slots, metric));
  for (const n of new Set(memory.map((one) => one.memory)))
    console.log(splitTable(memory.filter((one) => one.memory === n)));
  for (const one of results) if (one.together) console.log(`${one.trace}: ${togetherTable(one.together)}`);
  console.log(`written to ${options.out ?? "bench/results"}: ${name}.json, ${name}-hit-rate.svg, ${name}-uploads.svg`);
}

const TITLES: readonly (readonly [Metric, string])[] = [
  ["hitRate", "hit rate"],
  ["reads", "experts that are missing, a token"],
  ["uploads", "experts uploaded to stay, a token"],
  ["complete", "steps of a layer without a miss"],
  ["gap", "share of the way from random to Belady"],
  ["extraSlots", "slots more that LRU would need"],
];

/** Reads a token with memory for so many experts a layer, by how many of them have a slot. */
function splitTable(rows: readonly Split[]): string {
  const line = (first: string, cells: readonly string[]) =>
    first.padEnd(16) + cells.map((cell) => cell.padStart(9)).join("");
  const shown = rows.filter(
    (_, i) => rows.length <= 9 || i === rows.length - 1 || i % Math.ceil(rows.length / 8) === 0,
  );
  return [
    `mean: memory for ${rows[0]!.memory} experts a layer, the page cache has what slots leave`,
    line(
      "  slots a layer",
      shown.map(({ slots }) => String(slots)),
    ),
    line(
      "  from the disk",
      shown.map(({ disk }) => disk.toFixed(3)),
    ),
    line(
      "  page cache",
      shown.map(({ cached }) => cached.toFixed(3)),
    ),
    "",
  ].join("\n");
}

/** One number for each policy and number of slots. */
function table(
  title: string,
  policies: readonly { readonly policy: string; readonly bySlots: PolicyFigures["bySlots"] | readonly Means[] }[],
  slots: readonly number[],
  metric: Metric,
): string {
  const line = (first: string, cells: readonly string[]) =>
    first.padEnd(16) + cells.map((cell) => cell.padStart(9)).join("");
  const cell = (value: number | null) => (value === null ? "-" : value.toFixed(metric === "extraSlots" ? 2 : 3));
  return [
    title,
    line("  slots a layer", slots.map(String)),
    ...policies.map(({ policy, bySlots }) =>
      line(
        `  ${policy}`,
        bySlots.map((figures) => cell(figures[metric])),
      ),
    ),
    "",
  ].join("\n");
}
