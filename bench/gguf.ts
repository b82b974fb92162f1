// `npm run bench -- gguf <file>`: hotset and llama.cpp on the CPU, on the same GGUF file.
//
// Each side is one process that has loaded the file once; short turns of both alternate, so that
// their ratios are of the same seconds. Processor time is compared as well: where other programs
// run, it says more than the clock.

import { spawn } from "node:child_process";
import { basename, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { resultName, whole, wholes } from "./arguments.ts";
import { median } from "./peers/compare.ts";
import type { Timed } from "./peers/llama_model.ts";
import { peerPackage } from "./peers/packages.ts";
import type { Turn, TurnSide, TurnsReady } from "./peers/turns.ts";
import { about, stamp, writeResult } from "./result.ts";

const USAGE = `usage: npm run bench -- gguf <file> [--threads <n>] [--rounds <n>] [--prompts 128,512] [--tokens <decoded>] [--name <of the result>]`;

interface Case {
  readonly name: string;
  readonly turn: Turn;
  /** Tokens whose time counts: the prompt's, or those after the first. */
  readonly tokens: number;
}

interface Side {
  readonly ready: TurnsReady;
  take(turn: Turn): Promise<Timed>;
  close(): void;
}

async function start(root: URL, options: TurnSide): Promise<Side> {
  const script = fileURLToPath(new URL("dist/bench/peers/turns.js", root));
  const child = spawn(process.execPath, [script, JSON.stringify(options)], { stdio: ["pipe", "pipe", "inherit"] });
  process.once("exit", () => void child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`the process of ${options.side} ended`);
    return JSON.parse(value);
  };
  const ready = (await next()) as TurnsReady;
  return {
    ready,
    take(turn) {
      child.stdin.write(`${JSON.stringify(turn)}\n`);
      return next() as Promise<Timed>;
    },
    close: () => void child.kill("SIGKILL"),
  };
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

/** Runs the comparison, prints it and writes it to bench/results. Returns the exit code. */
export async function ggufCommand(root: URL, args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      threads: { type: "string", default: "2" },
      rounds: { type: "string", default: "5" },
      prompts: { type: "string", default: "128,512" },
      tokens: { type: "string", default: "16" },
      name: { type: "string" },
    },
  });
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) {
    console.error(USAGE);
    return 2;
  }
  const cases = casesOf(wholes("prompts", values.prompts), whole("tokens", values.tokens, 2));
  const [threads, rounds] = [whole("threads", values.threads), whole("rounds", values.rounds)];
  const name = resultName(values.name ?? `${stamp(root)}-gguf`);
  const found = peerPackage(root, "node-llama-cpp");
  const positions = Math.max(...cases.map(({ turn }) => turn.promptTokens + turn.decodeTokens));
  const common = { package: found.folder, gguf: resolve(file), threads, positions };
  const peer = await start(root, { ...common, side: "peer" });
  const ours = await start(root, { ...common, side: "ours" });
  const rows = [];
  try {
    for (const side of [ours, peer]) await side.take({ promptTokens: 32, decodeTokens: 4, seed: 1 });
    const taken = cases.map(() => [] as { ours: Timed; peer: Timed }[]);
    for (let round = 0; round < rounds; round++)
      for (const [i, { turn }] of cases.entries()) {
        // Each side begins every other time.
        const next = { ...turn, seed: turn.seed + round * cases.length }; // what was computed before is cached
        const first = round % 2 === 0 ? await ours.take(next) : null;
        const theirs = await peer.take(next);
        taken[i]!.push({ ours: first ?? (await ours.take(next)), peer: theirs });
      }
    for (const [i, { name: of, turn, tokens }] of cases.entries()) {
      const decodes = turn.decodeTokens > 1;
      const ms = (one: Timed): number => (decodes ? one.decodeMs : one.prefillMs);
      const cpuMs = (one: Timed): number => (decodes ? one.decodeCpuMs : one.prefillCpuMs);
      const rate = (one: Timed): number => (tokens / ms(one)) * 1000;
      const runs = taken[i]!;
      const ratios = runs.map((run) => rate(run.ours) / rate(run.peer));
      const row = {
        name: of,
        ours: median(runs.map((run) => rate(run.ours)))!,
        peer: median(runs.map((run) => rate(run.peer)))!,
        ratio: median(ratios)!,
        spread: [Math.min(...ratios), Math.max(...ratios)],
        cpuRatio: median(runs.map((run) => cpuMs(run.peer) / cpuMs(run.ours)))!,
        runs,
      };
      rows.push(row);
      console.log(
        `${of.padEnd(14)}${row.ours.toFixed(2).padStart(9)} tok/s ${row.peer.toFixed(2).padStart(9)} tok/s   ` +
          `${row.ratio.toFixed(2)}x (${row.spread.map((r) => r.toFixed(2)).join(" to ")}), ` +
          `${row.cpuRatio.toFixed(2)}x by processor time`,
      );
    }
  } finally {
    ours.close();
    peer.close();
  }
  writeResult(root, name, {
    // The file by its name: where it lies says nothing.
    ...about(
      root,
      name,
      process.argv.slice(2).map((word) => (word === file ? basename(word) : word)),
    ),
    kind: "gguf",
    peer: { name: "llama.cpp", package: found.name, version: found.version },
    file: basename(file),
    threads,
    rounds,
    ours: ours.ready,
    llama: peer.ready,
    rows,
  });
  console.log(`written to bench/results/${name}.json`);
  return 0;
}
