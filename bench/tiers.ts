// `npm run bench -- tiers <file.gguf>`: hotset and llama.cpp on the CPU on one file, in a memory
// limit that the file does not fit, with nothing of it in the page cache.
//
// Each measurement is a process in a control group of its own, sides by turns. Where no group can
// be made, hotset keeps to its budget and llama.cpp has no limit, which the result says.

import { statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { parseArgs } from "node:util";
import { defaultBudget } from "../src/backend/cpu/node_limits.ts";
import { formatBytes, formatSeconds } from "../src/cli/output.ts";
import { RequestError } from "../src/errors.ts";
import { bytes as bytesOf, exitCode, resultName, whole } from "./arguments.ts";
import { barChart } from "./chart/bars.ts";
import { captionOf, pictureOf } from "./chart/frame.ts";
import { exitOnSignals, temporaryFolder } from "./leftovers.ts";
import { forget, memoryLimit } from "./memory_limit.ts";
import { median } from "./peers/compare.ts";
import type { Timed } from "./peers/llama_model.ts";
import { peerPackage } from "./peers/packages.ts";
import { startSide } from "./peers/sides.ts";
import type { TurnSide } from "./peers/turns.ts";
import { about, stamp, writePicture, writeResult } from "./result.ts";

const USAGE = `usage: npm run bench -- tiers <file.gguf> [--limit 50%] [--ram <budget of hotset>] [--prompt 8] [--warm-up 16] [--tokens 16]
         [--threads 2] [--rounds 3] [--without-peer] [--name <of the result>]`;

/** The sides, by the names that the table has. */
const SIDES = {
  hotset: { side: "ours" },
  "llama.cpp, mmap": { side: "peer" },
  "llama.cpp, lazy": { side: "peer", lazy: true },
} as const satisfies Record<string, Pick<TurnSide, "side" | "lazy">>;
type SideName = keyof typeof SIDES;

interface Options {
  readonly file: string;
  /** Bytes. */
  readonly limit: number;
  readonly ram: number | undefined;
  readonly prompt: number;
  readonly warmUp: number;
  readonly tokens: number;
  readonly threads: number;
  readonly rounds: number;
  readonly sides: readonly SideName[];
  readonly name: string | undefined;
}

/** One process. */
export interface TiersRun {
  readonly side: SideName;
  readonly round: number;
  readonly engine?: string;
  readonly loadMs?: number;
  /** From the start of loading to the first token of the first prompt. */
  readonly firstTokenMs?: number;
  readonly decodeTps?: number;
  /** Processor time of a decoded token, of all threads. */
  readonly cpuMs?: number;
  /** The most bytes of the group, page cache included. */
  readonly peakBytes: number | null;
  /** Why nothing was measured. */
  readonly error?: string;
}

/** The medians of a side; nulls where no round was measured. */
export interface TiersRow {
  readonly side: SideName;
  readonly decodeTps: number | null;
  readonly spread?: readonly [number, number];
  readonly firstTokenMs: number | null;
  /** hotset's decodeTps over this one, in the same round. */
  readonly ratio: number | null;
  readonly error?: string;
}

/** Measures; returns the exit code. */
export function tiersCommand(root: URL, args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, (options) => {
    exitOnSignals();
    return run(root, args, options);
  });
}

async function run(root: URL, args: readonly string[], options: Options): Promise<number> {
  const { file, limit, rounds, sides } = options;
  const name = options.name ?? `${stamp(root)}-tiers`;
  const head = about(root, name, ["tiers", ...args.map((word) => (word === file ? basename(word) : word))]);
  const found = sides.some((side) => side !== "hotset") ? peerPackage(root, "node-llama-cpp") : null;
  const tried = memoryLimit(limit);
  const enforced = typeof tried === "string" ? tried : tried.kind;
  if (typeof tried === "string")
    console.error(`no memory limit: ${tried}; hotset keeps to its budget, llama.cpp has none`);
  else tried.remove();
  const runs: TiersRun[] = [];
  for (let round = 1; round <= rounds; round++)
    for (const side of round % 2 === 0 ? sides.toReversed() : sides) {
      const done = await measure(root, options, side, round, found?.folder ?? "");
      runs.push(done);
      console.log(runLine(done));
    }
  const rows = tiersRows(sides, runs);
  const bytes = statSync(file).size;
  const { prompt, warmUp, tokens, threads } = options;
  writeResult(root, name, {
    ...head,
    kind: "tiers",
    peer: found && { name: "llama.cpp", package: found.name, version: found.version },
    ...{ file: basename(file), fileBytes: bytes, limitBytes: limit, enforced, ram: options.ram ?? null },
    ...{ promptTokens: prompt, warmUp, tokens, threads, rounds },
    rows,
    runs,
  });
  const where = typeof tried === "string" ? "no control group: hotset's budget only" : `a ${enforced}`;
  const of = `${basename(file)}, ${formatBytes(bytes)}, in ${formatBytes(limit)} of memory (${where}), cold, random tokens`;
  writePicture(root, name, tiersPicture(rows, of, captionOf(head)));
  for (const { side, ratio } of rows)
    if (ratio !== null && side !== "hotset") console.log(`hotset over ${side}: ${ratio.toFixed(2)}x`);
  console.log(`written to bench/results/${name}.json and ${name}.svg`);
  return rows.find(({ side }) => side === "hotset")?.decodeTps == null ? 1 : 0;
}

async function measure(root: URL, options: Options, name: SideName, round: number, folder: string): Promise<TiersRun> {
  const { file, limit, ram, prompt, warmUp, tokens, threads } = options;
  forget([resolve(file)]);
  const group = memoryLimit(limit);
  const inside = typeof group === "string" ? null : group;
  // Without a group open() sees the machine's memory: the budget is what it takes of a limit.
  const budget = ram ?? (inside ? undefined : defaultBudget(Number.POSITIVE_INFINITY, limit, threads));
  const positions = prompt + Math.max(warmUp, tokens) + 1;
  // Nothing that an earlier process has learned: rounds would differ.
  const cache = temporaryFolder("tiers");
  const before = [...(inside?.before ?? []), "env", `HOTSET_CACHE=${cache.path}`];
  const task: TurnSide = { ...SIDES[name], package: folder, gguf: resolve(file), threads, positions, ram: budget };
  try {
    const side = await startSide(root, task, before);
    try {
      const turn = { promptTokens: prompt, random: true } as const;
      const first = await side.take({ ...turn, decodeTokens: warmUp + 1, seed: 2 * round });
      const timed: Timed = await side.take({ ...turn, decodeTokens: tokens + 1, seed: 2 * round + 1 });
      return {
        ...{ side: name, round, engine: side.ready.engine, loadMs: side.ready.loadMs },
        firstTokenMs: side.ready.loadMs + first.prefillMs,
        decodeTps: (1000 * tokens) / timed.decodeMs,
        cpuMs: timed.decodeCpuMs / tokens,
        peakBytes: inside?.peak() ?? null,
      };
    } finally {
      await side.close();
    }
  } catch (error) {
    const killed = inside?.killed() ? `the kernel ended it: it needs more than ${formatBytes(limit)}` : null;
    return { side: name, round, peakBytes: inside?.peak() ?? null, error: killed ?? (error as Error).message };
  } finally {
    inside?.remove();
    cache.remove();
  }
}

function runLine({ side, round, decodeTps, firstTokenMs, cpuMs, peakBytes, error }: TiersRun): string {
  const peak = peakBytes === null ? "" : `, at most ${formatBytes(peakBytes)}`;
  const what =
    decodeTps === undefined
      ? `${error}`
      : `${decodeTps.toFixed(3)} tok/s, ${cpuMs!.toFixed(0)} ms of processors a token, first token after ${formatSeconds(firstTokenMs!)}`;
  return `${side.padEnd(16)} ${round}: ${what}${peak}`;
}

/** Medians over the rounds, and hotset's ratio to each side. */
export function tiersRows(sides: readonly SideName[], runs: readonly TiersRun[]): TiersRow[] {
  const ours = new Map(runs.filter(({ side }) => side === "hotset").map(({ round, decodeTps }) => [round, decodeTps]));
  return sides.map((side) => {
    const own = runs.filter((run) => run.side === side);
    const rates = own.flatMap(({ decodeTps }) => decodeTps ?? []);
    const ratios = own.flatMap(({ round, decodeTps }) => {
      const other = ours.get(round);
      return decodeTps === undefined || other === undefined ? [] : [other / decodeTps];
    });
    const error = own.find((run) => run.error !== undefined)?.error;
    return {
      side,
      decodeTps: median(rates),
      ...(rates.length > 0 && { spread: [Math.min(...rates), Math.max(...rates)] as const }),
      firstTokenMs: median(own.flatMap(({ firstTokenMs }) => firstTokenMs ?? [])),
      ratio: median(ratios),
      ...(error !== undefined && { error }),
    };
  });
}

export function tiersPicture(rows: readonly TiersRow[], of: string, caption: readonly string[]): string {
  const title = "A model that does not fit its memory";
  const drawing = barChart({
    title,
    subtitle: of,
    label: "decoded tokens a second",
    scale: "linear",
    bars: rows.map(({ side, decodeTps, spread, ratio, error }) => ({
      name: side,
      colour: side === "hotset" ? 2 : 1,
      value: decodeTps,
      spread,
      note:
        decodeTps === null
          ? (error ?? "not measured")
          : `${decodeTps.toFixed(2)} tok/s${side === "hotset" || ratio === null ? "" : `, hotset ${ratio.toFixed(2)}x`}`,
    })),
  });
  return pictureOf(title, [drawing], caption);
}

function parse(args: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      limit: { type: "string", default: "50%" },
      ram: { type: "string" },
      prompt: { type: "string", default: "8" },
      "warm-up": { type: "string", default: "16" },
      tokens: { type: "string", default: "16" },
      threads: { type: "string", default: "2" },
      rounds: { type: "string", default: "3" },
      "without-peer": { type: "boolean", default: false },
      name: { type: "string" },
    },
  });
  const [file, ...more] = positionals;
  if (file === undefined || more.length > 0) throw new RequestError("expected one GGUF file");
  const found = statSync(file, { throwIfNoEntry: false });
  if (!found?.isFile())
    throw new RequestError(`${file}: expected a GGUF file, found ${found ? "a folder" : "nothing"}`);
  const sides = Object.keys(SIDES) as SideName[];
  return {
    file,
    limit: limitOf(values.limit, found.size),
    ram: values.ram === undefined ? undefined : bytesOf("ram", values.ram),
    prompt: whole("prompt", values.prompt),
    warmUp: whole("warm-up", values["warm-up"]),
    tokens: whole("tokens", values.tokens),
    threads: whole("threads", values.threads),
    rounds: whole("rounds", values.rounds),
    sides: values["without-peer"] ? sides.filter((side) => side === "hotset") : sides,
    name: values.name === undefined ? undefined : resultName(values.name),
  };
}

/** "50%" of a file's bytes, or a size as "3.5GB". @throws RequestError */
export function limitOf(text: string, whole: number): number {
  const percent = /^(\d{1,3})%$/.exec(text)?.[1];
  return percent === undefined ? bytesOf("limit", text) : Math.floor((Number(percent) / 100) * whole);
}
