// `npm run bench -- --peer <name>`: alternates another engine and hotset on the same work, and
// prints ratios.

import { captionOf } from "./chart/frame.ts";
import { architectureOf } from "./peers/cache.ts";
import { type Case, MODELS, type ModelName, pageCases, processCases, sidesOf } from "./peers/cases.ts";
import { type Run, rows, scaling } from "./peers/compare.ts";
import { type PeerPackage, peerPackage } from "./peers/packages.ts";
import { openPages } from "./peers/pages.ts";
import { picture, table } from "./peers/print.ts";
import { processSides } from "./peers/processes.ts";
import type { SideName, Sides, Work } from "./peers/types.ts";
import { about, writePicture, writeResult } from "./result.ts";

/** Name on the command line -> its npm package. */
export const PEERS = { "llama.cpp": "node-llama-cpp", wllama: "@wllama/wllama" } as const;
export type PeerName = keyof typeof PEERS;

export interface PeerOptions {
  readonly peer: PeerName;
  readonly rounds: number;
  /** The largest number of threads. */
  readonly threads: number;
  readonly quick: boolean;
  /** Measures cases whose names contain this. */
  readonly only: string;
  /** The result's name. */
  readonly name: string;
  readonly list: boolean;
}

const SEED = 1;

/** The two sides of one model. */
interface Bench {
  readonly sides: Sides;
  readonly host: string;
  close(): Promise<void>;
}

async function openBench(root: URL, peer: PeerName, found: PeerPackage, model: ModelName): Promise<Bench> {
  if (peer === "wllama") {
    const { sides, browser, close } = await openPages(root, found, MODELS[model]);
    return { sides, host: browser, close };
  }
  const sides = await processSides(root, found, MODELS[model]);
  return { sides, host: `Node ${process.version}`, close: async () => {} };
}

async function casesOf(root: URL, options: PeerOptions): Promise<Case[]> {
  const all =
    options.peer === "wllama"
      ? pageCases(options)
      : processCases(
          {
            tales: (await architectureOf(root, MODELS.tales)).context,
            "8x7b": (await architectureOf(root, MODELS["8x7b"])).context,
          },
          options,
        );
  return all.filter(({ name }) => name.includes(options.only));
}

/** Measures a case in rounds; the sides alternate within each. */
async function measureCase(c: Case, sides: Sides, rounds: number): Promise<Run[]> {
  const runs: Run[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const threads of [...c.alone, ...c.threads]) {
      for (const side of sidesOf(c, threads)) {
        const run = await measure(c, sides, side, threads, round);
        const rate = run.sample?.[c.quantity].map((value) => value.toFixed(1)).join(" ");
        console.error(`${c.name}, round ${round}, ${side} on ${threads}: ${rate ?? run.error}`);
        runs.push(run);
      }
    }
  }
  return runs;
}

async function measure(c: Case, sides: Sides, side: SideName, threads: number, round: number): Promise<Run> {
  const { promptTokens, decodeTokens, repeats } = c;
  const work: Work = { promptTokens, decodeTokens, repeats, seed: SEED, threads };
  const started = performance.now();
  const about = { case: c.name, round, side, threads, promptTokens, decodeTokens };
  const wallMs = (): number => Math.round(performance.now() - started);
  try {
    const sample = await sides[side](work);
    return { ...about, wallMs: wallMs(), sample };
  } catch (error) {
    return { ...about, wallMs: wallMs(), error: (error as Error).message };
  }
}

/** Failed runs for a case that could not start, on each side and thread count. */
function unmeasured(c: Case, error: string): Run[] {
  const { promptTokens, decodeTokens } = c;
  return c.threads.flatMap((threads) =>
    sidesOf(c, threads).map((side) => {
      return { case: c.name, round: 1, side, threads, promptTokens, decodeTokens, wallMs: 0, error };
    }),
  );
}

/** Runs the comparison, prints it and writes it to bench/results. Returns the exit code. */
export async function comparePeer(root: URL, options: PeerOptions): Promise<number> {
  const cases = await casesOf(root, options);
  if (cases.length === 0) throw new Error(`no measurement's name contains "${options.only}"; --list prints the names`);
  if (options.list) {
    for (const { name } of cases) console.log(name);
    return 0;
  }
  const found = peerPackage(root, PEERS[options.peer]);
  const head = {
    ...about(root, options.name, process.argv.slice(2)),
    kind: "peer",
    peer: { name: options.peer, package: found.name, version: found.version },
    threads: options.threads,
    rounds: options.rounds,
  };
  const runs: Run[] = [];
  let host = "";
  for (const model of new Set(cases.map((c) => c.model))) {
    const own = cases.filter((c) => c.model === model);
    const bench = await openBench(root, options.peer, found, model).catch((error: Error) => {
      runs.push(...own.flatMap((c) => unmeasured(c, error.message)));
      return null;
    });
    if (bench === null) continue;
    host = bench.host;
    try {
      for (const c of own) runs.push(...(await measureCase(c, bench.sides, options.rounds)));
    } finally {
      await bench.close();
    }
  }
  const compared = rows(cases, runs);
  const scalings = scaling(cases, runs);
  console.log(table(options.peer, compared, scalings));
  writeResult(root, options.name, { ...head, host, rows: compared, scaling: scalings, runs });
  const drawn = picture(`${options.peer} (${found.name} ${found.version}, ${host})`, compared, captionOf(head));
  writePicture(root, options.name, drawn);
  console.log(`written to bench/results/${options.name}.json and ${options.name}.svg`);
  const failed = runs.filter((run) => run.error !== undefined);
  for (const { case: name, side, threads, error } of failed)
    console.error(`${name}, ${side} on ${threads} threads: ${error}`);
  return failed.length > 0 ? 1 : 0;
}
