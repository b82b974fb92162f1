// `npm run bench -- --peer llama.cpp <file.gguf> ...`: hotset and llama.cpp on the CPU, on the same
// GGUF files.
//
// Each side is one process that has loaded the file once; short turns of both alternate, so that
// their ratios are of the same seconds. Processor time is compared as well: where other programs
// run, it says more than the clock. A file that llama.cpp cannot open is left out, by name.

import { basename, resolve } from "node:path";
import { wholes } from "./arguments.ts";
import { barChart } from "./chart/bars.ts";
import { captionOf, pictureOf } from "./chart/frame.ts";
import { median } from "./peers/compare.ts";
import type { Timed } from "./peers/llama_model.ts";
import { peerPackage } from "./peers/packages.ts";
import { type Side, startSide } from "./peers/sides.ts";
import type { Turn, TurnsReady } from "./peers/turns.ts";
import { about, writePicture, writeResult } from "./result.ts";

export interface FilesOptions {
  readonly files: readonly string[];
  readonly threads: number;
  readonly rounds: number;
  readonly prompts: readonly number[];
  /** Tokens that are decoded in a turn. */
  readonly tokens: number;
  /** The result's name. */
  readonly name: string;
}

interface Case {
  readonly name: string;
  readonly turn: Turn;
  /** Tokens whose time counts: the prompt's, or those after the first. */
  readonly tokens: number;
}

interface Pair {
  readonly ours: Timed;
  readonly peer: Timed;
}

/** One line of the table: a file's case. */
export interface FileRow {
  readonly file: string;
  readonly name: string;
  /** Medians over the rounds, tokens a second. */
  readonly ours: number;
  readonly peer: number;
  /** The median of the rounds' ratios, the least and the greatest, and that of processor time. */
  readonly ratio: number;
  readonly spread: readonly [number, number];
  readonly cpuRatio: number;
  readonly runs: readonly Pair[];
}

/** A file without rows, and whose fault it is. */
export interface LeftOut {
  readonly file: string;
  readonly side: "hotset" | "llama.cpp";
  readonly why: string;
}

/** "128,512" and the like. @throws RequestError */
export function promptsOf(text: string): number[] {
  return wholes("prompts", text);
}

function casesOf(prompts: readonly number[], tokens: number): Case[] {
  return [
    ...prompts.map((promptTokens, i) => {
      return {
        name: `prefill ${promptTokens}`,
        turn: { promptTokens, decodeTokens: 1, seed: 2 + i },
        tokens: promptTokens,
      };
    }),
    { name: "decode", turn: { promptTokens: 8, decodeTokens: tokens + 1, seed: 2 + prompts.length }, tokens },
  ];
}

/** A case's figures from its rounds. */
function rowOf(file: string, { name, turn, tokens }: Case, runs: readonly Pair[]): FileRow {
  const decodes = turn.decodeTokens > 1;
  const ms = (one: Timed): number => (decodes ? one.decodeMs : one.prefillMs);
  const cpuMs = (one: Timed): number => (decodes ? one.decodeCpuMs : one.prefillCpuMs);
  const rate = (one: Timed): number => (tokens / ms(one)) * 1000;
  const ratios = runs.map((run) => rate(run.ours) / rate(run.peer));
  return {
    file,
    name,
    ours: median(runs.map((run) => rate(run.ours)))!,
    peer: median(runs.map((run) => rate(run.peer)))!,
    ratio: median(ratios)!,
    spread: [Math.min(...ratios), Math.max(...ratios)],
    cpuRatio: median(runs.map((run) => cpuMs(run.peer) / cpuMs(run.ours)))!,
    runs,
  };
}

/** A file that one side cannot open or compute. */
class Unmeasured extends Error {
  readonly out: LeftOut;

  constructor(out: LeftOut) {
    super(out.why);
    this.out = out;
  }
}

/** Both sides of a file. @throws Unmeasured */
async function opened(root: URL, path: string, folder: string, options: FilesOptions, cases: readonly Case[]) {
  const positions = Math.max(...cases.map(({ turn }) => turn.promptTokens + turn.decodeTokens));
  const common = { package: folder, gguf: resolve(path), threads: options.threads, positions };
  const start = (side: "ours" | "peer") => by(path, side, () => startSide(root, { ...common, side }));
  const peer = await start("peer");
  try {
    return { ours: await start("ours"), peer };
  } catch (error) {
    await peer.close();
    throw error;
  }
}

/** What `work` gives; what it throws is said of one side and file. */
async function by<T>(path: string, side: "ours" | "peer", work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const name = side === "ours" ? "hotset" : "llama.cpp";
    throw new Unmeasured({ file: basename(path), side: name, why: (error as Error).message });
  }
}

async function measure(path: string, sides: { ours: Side; peer: Side }, cases: readonly Case[], rounds: number) {
  const take = (side: "ours" | "peer", turn: Turn) => by(path, side, () => sides[side].take(turn));
  for (const side of ["ours", "peer"] as const) await take(side, { promptTokens: 32, decodeTokens: 4, seed: 1 });
  const taken = cases.map(() => [] as Pair[]);
  for (let round = 0; round < rounds; round++)
    for (const [i, { turn }] of cases.entries()) {
      // Each side begins every other time.
      const next = { ...turn, seed: turn.seed + round * cases.length }; // what was computed before is cached
      const first = round % 2 === 0 ? await take("ours", next) : null;
      const peer = await take("peer", next);
      taken[i]!.push({ ours: first ?? (await take("ours", next)), peer });
    }
  return cases.map((c, i) => rowOf(basename(path), c, taken[i]!));
}

/**
 * Runs the comparison, prints it and writes it to bench/results. Returns the exit code: 1 if hotset
 * could not compute a file, or if no file was measured.
 */
export async function compareFiles(root: URL, options: FilesOptions): Promise<number> {
  const { files, threads, rounds, prompts, tokens, name } = options;
  const cases = casesOf(prompts, tokens);
  const found = peerPackage(root, "node-llama-cpp");
  const rows: FileRow[] = [];
  const leftOut: LeftOut[] = [];
  const engines: { file: string; ours: TurnsReady; llama: TurnsReady }[] = [];
  for (const path of files) {
    let sides: { ours: Side; peer: Side } | null = null;
    try {
      sides = await opened(root, path, found.folder, options, cases);
      const own = await measure(path, sides, cases, rounds);
      engines.push({ file: basename(path), ours: sides.ours.ready, llama: sides.peer.ready });
      rows.push(...own);
      for (const row of own) console.log(line(row));
    } catch (error) {
      if (!(error instanceof Unmeasured)) throw error;
      leftOut.push(error.out);
      console.error(leftOutText(error.out));
    } finally {
      await sides?.ours.close();
      await sides?.peer.close();
    }
  }
  // Files by their names: where they lie says nothing.
  const said = process.argv.slice(2).map((word) => (files.includes(word) ? basename(word) : word));
  const head = about(root, name, said);
  const peer = { name: "llama.cpp", package: found.name, version: found.version };
  writeResult(root, name, { ...head, kind: "gguf", peer, threads, rounds, engines, rows, leftOut });
  writePicture(root, name, filesPicture(rows, leftOut, `llama.cpp (${found.name} ${found.version})`, captionOf(head)));
  console.log(`written to bench/results/${name}.json and ${name}.svg`);
  return rows.length === 0 || leftOut.some(({ side }) => side === "hotset") ? 1 : 0;
}

function line(row: FileRow): string {
  return (
    `${row.file}  ${row.name.padEnd(14)}${row.ours.toFixed(2).padStart(9)} tok/s ${row.peer.toFixed(2).padStart(9)} tok/s   ` +
    `${row.ratio.toFixed(2)}x (${row.spread.map((r) => r.toFixed(2)).join(" to ")}), ` +
    `${row.cpuRatio.toFixed(2)}x by processor time`
  );
}

function leftOutText({ file, side, why }: LeftOut): string {
  return `${file}: left out, ${side} cannot compute it: ${why}`;
}

/** Ratios of all rows as bars; files that were left out are named below them. */
export function filesPicture(
  rows: readonly FileRow[],
  leftOut: readonly LeftOut[],
  peer: string,
  caption: readonly string[],
): string {
  const title = `hotset and ${peer} on the same GGUF files`;
  const several = new Set(rows.map(({ file }) => file)).size > 1;
  const drawing = barChart({
    title,
    subtitle:
      "CPU, alternating turns; right of 1 hotset is faster; thin lines: least and greatest; figures: hotset, llama.cpp",
    label: "tokens a second, hotset over llama.cpp (times)",
    scale: "ratio",
    bars: rows.map((row) => ({
      name: several ? `${row.file.replace(/\.gguf$/, "").slice(0, 18)} ${row.name}` : row.name,
      colour: row.name === "decode" ? 2 : 1,
      value: row.ratio,
      spread: row.spread,
      note: `${row.ratio.toFixed(2)}x: ${rounded(row.ours)}, ${rounded(row.peer)} tok/s`,
    })),
  });
  return pictureOf(title, [drawing], [...leftOut.map(leftOutText), ...caption]);
}

function rounded(rate: number): string {
  return rate >= 100 ? Math.round(rate).toLocaleString("en") : rate.toFixed(1);
}
