// `npm run bench`: takes the measurements of suite.ts, each in a process of its own, prints a table
// and writes a result.
//
// One process each, because a peak resident set belongs to a process, and a crash then costs only
// one measurement.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openNodeGpu } from "../src/backend/webgpu/device/node_gpu.ts";
import type { BenchReport } from "../src/cli/bench.ts";
import { formatBytes, formatRate, formatSeconds } from "../src/cli/output.ts";
import { asksForHelp, resultName, whole } from "./arguments.ts";
import { coldCommand } from "./cold.ts";
import { contextsCommand } from "./contexts.ts";
import { expertsCommand } from "./experts/command.ts";
import { formatsCommand } from "./formats_command.ts";
import { isaCommand } from "./isa/command.ts";
import { exitOnSignals } from "./leftovers.ts";
import { loadCommand } from "./load.ts";
import { masksCommand } from "./masks.ts";
import { newcomersCommand } from "./newcomers.ts";
import { overlapCommand } from "./overlap.ts";
import { pageCommand } from "./page/command.ts";
import { comparePeer, PEERS, type PeerName } from "./peer.ts";
import { compareFiles, promptsOf } from "./peer_files.ts";
import { perplexityCommand } from "./perplexity_command.ts";
import { profileCommand } from "./profile_command.ts";
import { residencyCommand } from "./residency/command.ts";
import { about, stamp, writeResult } from "./result.ts";
import { shapesCommand } from "./shapes/command.ts";
import { speculationCommand } from "./speculation/command.ts";
import { type Measurement, suite } from "./suite.ts";
import { tiersCommand } from "./tiers.ts";

// This file runs as dist/bench/run.js.
const root = new URL("../../", import.meta.url);
const cli = fileURLToPath(new URL("dist/src/cli/main.js", root));

/** Timeout of one measurement. */
const LIMIT_MS = 600_000;
const USAGE = `usage: npm run bench -- [--quick] [--only <part of a name>] [--name <of the result>] [--list]
       npm run bench -- --peer <${Object.keys(PEERS).join("|")}> [--threads <most>] [--rounds <number>] [the options above]
       npm run bench -- --peer llama.cpp <file.gguf> ... [--prompts 128,512] [--tokens <decoded>] [--threads 2] [--rounds 5]
       npm run bench -- --profile [its own options: bench/README.md]
       npm run bench -- cold make <file.gguf> | time <model> [its own options: bench/README.md]
       npm run bench -- contexts [--model <a model>] [--contexts 0,2k,8k,32k] [its other options: bench/README.md]
       npm run bench -- experts [--trace <file> ...] [--slots 2,3,4] [--name <of the result>] [--json]
       npm run bench -- formats [--formats q4,q4_k] [its other options: bench/README.md]
       npm run bench -- isa [--kernels matmul_vec,route] [--formats q4] [--page] [its other options: bench/README.md]
       npm run bench -- load [--clients 1,4,16,64] [--seconds <each>] [its other options: bench/README.md]
       npm run bench -- masks [--vocabularies 32k,200k] [its other options: bench/README.md]
       npm run bench -- overlap <model> --ram <budget> [--rate 1.5GB] [its other options: bench/README.md]
       npm run bench -- page [--port <number> | --out <folder>]
       npm run bench -- perplexity <model> ... --text <file> [its other options: bench/README.md]
       npm run bench -- residency --model <folder> [--ram 12GiB] [its own options: bench/README.md]
       npm run bench -- shapes [--models <a model>,...] [--format q4] [its other options: bench/README.md]
       npm run bench -- speculation [--model models/tales] [--draft <model>] [its other options: bench/README.md]
       npm run bench -- tiers <file.gguf> [--limit 50%] [its other options: bench/README.md]`;

/** One entry of "runs" in a result: a report, or why there is none. */
interface Run extends Measurement {
  /** The whole process, startup included. */
  readonly wallMs: number;
  readonly report?: BenchReport;
  readonly error?: string;
}

function measure(measurement: Measurement): Run {
  const started = performance.now();
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    [cli, "bench", ...measurement.args, "--json"],
    {
      cwd: root,
      encoding: "utf8",
      maxBuffer: 2 ** 26,
      timeout: LIMIT_MS,
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const wallMs = Math.round(performance.now() - started);
  if (status === 0) return { ...measurement, wallMs, report: JSON.parse(stdout) as BenchReport };
  const why = signal === "SIGTERM" ? `timed out after ${LIMIT_MS / 1000} s` : (signal ?? `exit code ${status}`);
  return { ...measurement, wallMs, error: stderr.trim() || why };
}

function row({ name, report, error }: Run): string {
  if (!report) return `${name.padEnd(24)}${error}`;
  const cells = [
    formatSeconds(report.loadMs),
    formatRate(report.prefillTps),
    formatRate(report.decodeTps),
    formatBytes(report.peakRssBytes),
  ];
  return name.padEnd(24) + cells.map((cell) => cell.padStart(13)).join("");
}

function usageError(message: string): never {
  console.error(`${message}\n${USAGE}`);
  process.exit(2);
}

/** What `read` returns; wrong usage ends the process. */
function checked<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    return usageError((error as Error).message);
  }
}

function options() {
  return checked(() =>
    parseArgs({
      options: {
        quick: { type: "boolean", default: false },
        list: { type: "boolean", default: false },
        only: { type: "string", default: "" },
        name: { type: "string" },
        peer: { type: "string" },
        threads: { type: "string" },
        rounds: { type: "string" },
        prompts: { type: "string" },
        tokens: { type: "string" },
      },
      allowPositionals: true,
    }),
  );
}

/** A whole number given as an option. */
function count(option: "threads" | "rounds" | "tokens", fallback: number, min = 1): number {
  const text = flags[option];
  return text === undefined ? fallback : checked(() => whole(option, text, min));
}

const COMMANDS: Readonly<Record<string, (root: URL, args: readonly string[]) => Promise<number>>> = {
  cold: (_, args) => coldCommand(args),
  contexts: contextsCommand,
  experts: expertsCommand,
  formats: formatsCommand,
  isa: isaCommand,
  load: loadCommand,
  masks: masksCommand,
  newcomers: newcomersCommand,
  overlap: overlapCommand,
  page: pageCommand,
  perplexity: (_, args) => perplexityCommand(args),
  residency: residencyCommand,
  shapes: shapesCommand,
  speculation: speculationCommand,
  tiers: tiersCommand,
};

const [word = "", ...rest] = process.argv.slice(2);
if (Object.hasOwn(COMMANDS, word)) process.exit(await COMMANDS[word]!(root, rest));
if (process.argv.includes("--profile")) process.exit(await profileCommand(root, process.argv.slice(2)));

if (asksForHelp(process.argv)) {
  console.log(USAGE);
  process.exit(0);
}

const { values: flags, positionals: files } = options();
if (files.length > 0 && flags.peer === undefined)
  usageError(`expected a command (${Object.keys(COMMANDS).join(", ")}) or --peer, found "${files[0]}"`);
for (const option of ["threads", "rounds"] as const)
  if (flags[option] !== undefined && flags.peer === undefined) usageError(`--${option}: goes with --peer only`);
for (const option of ["prompts", "tokens"] as const)
  if (flags[option] !== undefined && files.length === 0)
    usageError(`--${option}: goes with --peer and GGUF files only`);
if (files.length > 0 && flags.peer !== "llama.cpp")
  usageError(`expected GGUF files with --peer llama.cpp only, found "${files[0]}"`);
const name = checked(() =>
  resultName(flags.name ?? [stamp(root), flags.peer].filter((part) => part !== undefined).join("-")),
);
const head = about(root, name, process.argv.slice(2));
const [threads, rounds] = [count("threads", 2), count("rounds", files.length > 0 ? 5 : 3)];

/** Ends the process with what a comparison returns. */
async function compare(work: () => Promise<number>): Promise<never> {
  exitOnSignals();
  const code = await work().catch((error: Error) => {
    console.error(error.message);
    return 1;
  });
  process.exit(code);
}

if (files.length > 0) {
  const prompts = checked(() => promptsOf(flags.prompts ?? "128,512"));
  const tokens = count("tokens", 16, 2);
  await compare(() => compareFiles(root, { files, threads, rounds, prompts, tokens, name }));
}

if (flags.peer !== undefined) {
  if (!Object.hasOwn(PEERS, flags.peer))
    usageError(`--peer: expected ${Object.keys(PEERS).join(" or ")}, found "${flags.peer}"`);
  const { quick, only, list } = flags;
  const asked = { peer: flags.peer as PeerName, rounds, threads, quick, only, name, list };
  await compare(() => comparePeer(root, asked));
}

const gpu = await openNodeGpu();
const device = gpu === null ? "none" : gpu.software ? "software" : "hardware";
await gpu?.release();

const all = suite({ quick: flags.quick, hardware: device === "hardware" });
const chosen = all.filter(({ name }) => name.includes(flags.only));
if (chosen.length === 0) usageError(`no measurement's name contains "${flags.only}"`);
if (flags.list) {
  for (const { name } of chosen) console.log(name);
  process.exit(0);
}
const measurements = chosen.filter(({ name }) => device !== "none" || !name.includes("/webgpu/"));
if (device === "none") console.error("no WebGPU adapter: only the CPU is measured");

const titles = ["load", "prefill", "decode", "peak RSS"].map((title) => title.padStart(13)).join("");
console.log(`${"model/backend/weights/T".padEnd(24)}${titles}`);
const runs: Run[] = [];
for (const measurement of measurements) {
  const run = measure(measurement);
  runs.push(run);
  console.log(row(run));
}

writeResult(root, name, { ...head, adapter: device, runs });
console.log(`written to bench/results/${name}.json`);
if (runs.some((run) => run.error !== undefined)) process.exitCode = 1;
