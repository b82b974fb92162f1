// `npm run bench -- overlap <model>`: how much of what reading and computing allow a model reaches
// that does not fit its budget, if both overlapped entirely.
//
// Each round has five processes in turn: tokens with reads that take no time (what the processor
// needs), with a simulated disk that takes no processor, with the real disk, and before and after
// the latter its reads alone.

import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { usableCores } from "../src/backend/cpu/node_threads.ts";
import { formatBytes } from "../src/cli/output.ts";
import { RequestError } from "../src/errors.ts";
import { bytes, exitCode, resultName, whole } from "./arguments.ts";
import { inTemporaryFolder } from "./leftovers.ts";
import { runNode } from "./peers/children.ts";
import { median } from "./residency/bounds.ts";
import type { DecodeReport, DecodeTask, ReplayReport, ReplayTask } from "./residency/types.ts";
import { about, stamp, writeResult } from "./result.ts";

const USAGE = `usage: npm run bench -- overlap <GGUF file, or folder of hotset quantize> --ram <budget> [--rate 1.5GB]
         [--tokens 16] [--warm-up 24] [--prompt 8] [--rounds 3] [--simulated] [--direct]
         [--name <of the result>]`;

/** A token of one disk, means in milliseconds. */
export interface Overlap {
  /** That were read, and the part that was used. */
  readonly bytes: number;
  readonly used: number;
  /** As it was, and as the slowest of what follows takes. */
  readonly ms: number;
  readonly leastMs: number;
  /** Reading alone what was used. */
  readonly readMs: number;
  /** Computing alone. */
  readonly processorMs: number;
  /** Both on all cores, by processor time: reading takes some too. */
  readonly coresMs: number;
  /** leastMs / ms. */
  readonly share: number;
  /** Processor time of all threads. */
  readonly cpuMs: number;
}

/** What the reads of a token take alone. */
export interface ReadingAlone {
  readonly ms: number;
  /** Processor time. */
  readonly cpuMs: number;
}

/** What so many bytes take at the mean speed of reads alone, which changes from time to time. */
export function readingAlone(bytes: number, turns: readonly ReplayReport[]): ReadingAlone {
  const sum = (of: (turn: ReplayReport) => number): number => turns.reduce((all, turn) => all + of(turn), 0);
  const part = bytes / sum((turn) => turn.bytes);
  const cpuMs = part * sum(({ process: { userMs, systemMs } }) => userMs + systemMs);
  return { ms: part * sum(({ ms }) => ms), cpuMs };
}

/** @param processor the tokens without reads */
export function overlap(decode: DecodeReport, reading: ReadingAlone, processor: DecodeReport, cores: number): Overlap {
  const { tokenMs, bytes } = decode;
  const ms = mean(tokenMs);
  const read = bytes.demand + bytes.prefetch;
  const used = read === 0 ? 1 : Math.max(0, 1 - bytes.wasted / read);
  const readMs = used * reading.ms;
  const processorMs = mean(processor.tokenMs);
  const coresMs = (cpuOf(processor) + used * reading.cpuMs) / cores;
  const leastMs = Math.max(readMs, processorMs, coresMs);
  const sizes = { bytes: read / tokenMs.length, used: (used * read) / tokenMs.length };
  return { ...sizes, ms, leastMs, readMs, processorMs, coresMs, share: leastMs / ms, cpuMs: cpuOf(decode) };
}

function bytesOf({ bytes, tokenMs }: DecodeReport): number {
  return (bytes.demand + bytes.prefetch) / tokenMs.length;
}

/** Processor time of a token. */
function cpuOf({ process: { userMs, systemMs }, tokenMs }: DecodeReport): number {
  return (userMs + systemMs) / tokenMs.length;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

interface Round {
  readonly simulated: Overlap;
  readonly real: Overlap | null;
  /** Bytes a second of reads alone, before and after; none without the real disk. */
  readonly readRates: readonly number[];
}

/** Measures; returns the exit code. */
export function overlapCommand(root: URL, args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, async (options) => {
    await inTemporaryFolder("overlap", (folder) => measure(root, args, options, folder));
    return 0;
  });
}

/** Tokens in which a model finds out how to read, and whether prefetching pays. */
const TRIALS = 104;

async function measure(root: URL, args: readonly string[], options: Options, folder: string): Promise<void> {
  const { model, ram, rate, tokens, warmUp, prompt, rounds, real, direct, name: given } = options;
  const name = given ?? `${stamp(root)}-overlap`;
  const head = about(root, name, ["overlap", ...args.map((word) => (word === model ? basename(word) : word))]);
  const script = fileURLToPath(new URL("dist/bench/residency/child.js", root));
  const child = <Report>(task: DecodeTask | ReplayTask): Promise<Report> =>
    runNode(root, script, [JSON.stringify(task)]) as Promise<Report>;
  const reads = join(folder, "reads.json");
  const context = prompt + TRIALS + warmUp + tokens + 2;
  const decode = (rate: number | null, disk: "simulated" | "real", before = warmUp): Promise<DecodeReport> => {
    const length = { context, promptTokens: prompt, warmUp: before, tokens };
    const learned = join(folder, `${disk}.txt`);
    return child({ way: "kept", folder: model, ram, ...length, rate, learned, reads: rate === null ? reads : null });
  };
  const alone = ({ residentBytes }: DecodeReport): Promise<ReplayReport> =>
    child({ way: "replay", folder: model, reads, residentBytes, elsewhere: true });
  const cores = usableCores();
  await decode(rate, "simulated", TRIALS);
  let last = real ? await decode(null, "real", TRIALS) : null;
  if (real && direct) {
    readDirectly(join(folder, "real.txt"));
    last = await decode(null, "real"); // whose reads go past the page cache: those alone are as these
  }
  const done: Round[] = [];
  for (let round = 1; round <= rounds; round++) {
    const processor = await decode(Number.MAX_SAFE_INTEGER, "simulated"); // JSON has no infinity
    const slow = await decode(rate, "simulated");
    const simulated = overlap(slow, { ms: (1e3 * bytesOf(slow)) / rate, cpuMs: 0 }, processor, cores);
    console.log(line(`simulated ${round}`, simulated));
    let found: Overlap | null = null;
    const turns: ReplayReport[] = [];
    if (last) {
      turns.push(await alone(last));
      last = await decode(null, "real");
      turns.push(await alone(last));
      found = overlap(last, readingAlone(bytesOf(last), turns), processor, cores);
    }
    const readRates = turns.map(({ bytes, ms }) => bytes / (ms / 1e3));
    if (found)
      console.log(`${line(`real ${round}`, found)}; alone ${readRates.map((each) => rateText(each)).join(" and ")}`);
    done.push({ simulated, real: found, readRates });
  }
  const shares = {
    simulated: median(done.map(({ simulated }) => simulated.share)),
    real: real ? median(done.map(({ real }) => real!.share)) : null,
  };
  const what = { model: basename(model), ram, rate, promptTokens: prompt, warmUp, tokens };
  writeResult(root, name, { ...head, kind: "overlap", ...what, shares, rounds: done });
  const said = Object.entries(shares).filter(([, share]) => share !== null);
  console.log(`medians: ${said.map(([disk, share]) => `${disk} disk ${(100 * share!).toFixed(0)} %`).join(", ")}`);
  console.log(`written to bench/results/${name}.json`);
}

/** Sets that what follows reads past the page cache: the next trial comes after the tokens here. */
function readDirectly(learned: string): void {
  writeFileSync(learned, JSON.stringify({ ...JSON.parse(readFileSync(learned, "utf8")), bypass: true }));
}

function rateText(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1e9).toFixed(2)} GB/s`;
}

function line(title: string, { bytes, used, ms, readMs, processorMs, coresMs, share, cpuMs }: Overlap): string {
  const sizes = `${formatBytes(bytes)} read, ${formatBytes(used)} of them used in ${readMs.toFixed(0)} ms alone`;
  const parts = `${sizes}, ${processorMs.toFixed(0)} ms without reads, ${coresMs.toFixed(0)} ms of all cores`;
  return `${title.padEnd(12)} ${ms.toFixed(0)} ms a token, ${(100 * share).toFixed(0)} % of what is allowed (${parts}; ${cpuMs.toFixed(0)} ms of processors)`;
}

type Options = ReturnType<typeof parse>;

function parse(args: readonly string[]) {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ram: { type: "string" },
      rate: { type: "string", default: "1.5GB" },
      tokens: { type: "string", default: "16" },
      "warm-up": { type: "string", default: "24" },
      prompt: { type: "string", default: "8" },
      rounds: { type: "string", default: "3" },
      simulated: { type: "boolean", default: false },
      direct: { type: "boolean", default: false },
      name: { type: "string" },
    },
  });
  const [model, ...more] = positionals;
  if (model === undefined || more.length > 0) throw new RequestError("expected one model");
  if (values.ram === undefined) throw new RequestError("--ram: expected a budget that the model does not fit");
  return {
    model,
    ram: bytes("ram", values.ram),
    /** Bytes a second of the simulated disk. */
    rate: bytes("rate", values.rate),
    tokens: whole("tokens", values.tokens),
    warmUp: whole("warm-up", values["warm-up"]),
    prompt: whole("prompt", values.prompt),
    rounds: whole("rounds", values.rounds),
    real: !values.simulated,
    direct: values.direct,
    name: values.name === undefined ? undefined : resultName(values.name),
  };
}
