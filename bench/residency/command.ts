// `npm run bench -- residency`: decodes a model larger than its RAM budget on the CPU, with experts
// kept and without, and measures the limits of disk, page cache and arithmetic.

import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { RequestError } from "../../src/errors.ts";
import { bytes, exitCode, resultName, whole } from "../arguments.ts";
import { inTemporaryFolder } from "../leftovers.ts";
import { runNode } from "../peers/children.ts";
import { about, writeResult } from "../result.ts";
import { type Bounds, bounds, median, rate } from "./bounds.ts";
import { boundsText, decodeRow, HEAD, replayRow } from "./print.ts";
import { type MachineState, machineState } from "./process.ts";
import type { DecodeReport, DecodeTask, ReplayReport, ReplayTask } from "./types.ts";

const USAGE = `usage: npm run bench -- residency --model <folder of hotset quantize> [--ram 12GiB] [--tokens 16] [--warm-up 24]
         [--prompt 8] [--repeats 3] [--name <of the result>] [--json]`;

/** One process. */
interface Run<Report> {
  readonly way: string;
  readonly repeat: number;
  readonly before: MachineState;
  readonly after: MachineState;
  readonly wallMs: number;
  readonly report: Report;
}

/** Takes the requested measurements; returns the exit code. */
export function residencyCommand(root: URL, args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, async (options) => {
    await inTemporaryFolder("residency", (folder) => measure(root, args, options, join(folder, "reads.json")));
    return 0;
  });
}

async function measure(root: URL, args: readonly string[], options: Options, reads: string): Promise<void> {
  const { model, ram, tokens, warmUp, prompt, repeats, name, json } = options;
  const script = fileURLToPath(new URL("dist/bench/residency/child.js", root));
  const say = (text: string): void => void (json || console.log(text));
  // The folder's path on this machine is of no use elsewhere.
  const said = args.map((arg) => (arg === model ? basename(model) : arg));
  const head = about(root, name, ["residency", ...said]);
  const child = async <Report>(task: DecodeTask | ReplayTask, repeat: number): Promise<Run<Report>> => {
    const [before, started] = [machineState(), performance.now()];
    const report = (await runNode(root, script, [JSON.stringify(task)])) as Report;
    return { way: task.way, repeat, before, after: machineState(), wallMs: performance.now() - started, report };
  };
  const decode = (way: DecodeTask["way"], repeat: number): Promise<Run<DecodeReport>> => {
    const context = prompt + warmUp + tokens + 2;
    const length = { context, promptTokens: prompt, warmUp, tokens };
    return child({ way, folder: model, ram, ...length, reads: way === "kept" ? reads : null }, repeat);
  };
  say(HEAD);
  const show = (run: Run<DecodeReport>): void => say(decodeRow(`${run.way} ${run.repeat}`, run.report));
  const runs: Run<DecodeReport | ReplayReport>[] = [];
  const rounds: { kept: number; uncached: number; bounds: Bounds; ofBudget: number }[] = [];
  for (let repeat = 1; repeat <= repeats; repeat++) {
    // In turns, in reverse order every second time, so that changes on the machine affect
    // all of them.
    const uncachedFirst = repeat % 2 === 0 ? await decode("uncached", repeat) : null;
    if (uncachedFirst) show(uncachedFirst);
    const kept = await decode("kept", repeat);
    show(kept);
    const { residentBytes } = kept.report;
    const replayed = await child<ReplayReport>({ way: "replay", folder: model, reads, residentBytes }, repeat);
    say(replayRow(`replay ${repeat}`, replayed.report, tokens));
    const uncached = uncachedFirst ?? (await decode("uncached", repeat));
    if (!uncachedFirst) show(uncached);
    const compute = await decode("compute", repeat);
    show(compute);
    runs.push(kept, replayed, uncached, compute);
    const round = {
      kept: rate(kept.report),
      uncached: rate(uncached.report),
      bounds: bounds(kept.report, replayed.report, compute.report),
      ofBudget: Math.max(kept.report.maxRssBytes, kept.report.highWaterBytes ?? 0) / ram,
    };
    rounds.push(round);
    say(boundsText(round.bounds, round.kept));
  }
  const middle = (of: (round: (typeof rounds)[number]) => number): number => median(rounds.map(of));
  const summary = {
    keptTps: middle(({ kept }) => kept),
    uncachedTps: middle(({ uncached }) => uncached),
    keptOverUncached: middle(({ kept, uncached }) => kept / uncached),
    shareOfOverlapped: middle(({ kept, bounds }) => kept / bounds.overlapped),
    shareInTurn: middle(({ kept, bounds }) => kept / bounds.inTurn),
    peakRssOfBudget: Math.max(...rounds.map(({ ofBudget }) => ofBudget)),
  };
  const result = {
    ...head,
    kind: "residency",
    model: basename(model),
    ram,
    promptTokens: prompt,
    warmUp,
    tokens,
    repeats,
    summary,
    rounds,
    runs,
  };
  writeResult(root, name, result, 1);
  if (json) {
    console.log(JSON.stringify(result));
    return;
  }
  console.log(
    `medians: kept ${summary.keptTps.toFixed(3)} tok/s, ${summary.keptOverUncached.toFixed(2)} times uncached; ${(100 * summary.shareOfOverlapped).toFixed(0)} % of what rates allow overlapped, ${(100 * summary.shareInTurn).toFixed(0)} % in turn; peak RSS at most ${(100 * summary.peakRssOfBudget).toFixed(0)} % of the budget`,
  );
  console.log(`written to bench/results/${name}.json`);
}

interface Options {
  readonly model: string;
  readonly ram: number;
  readonly tokens: number;
  readonly warmUp: number;
  readonly prompt: number;
  readonly repeats: number;
  readonly name: string;
  readonly json: boolean;
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: "string" },
      ram: { type: "string", default: "12GiB" },
      tokens: { type: "string", default: "16" },
      "warm-up": { type: "string", default: "24" },
      prompt: { type: "string", default: "8" },
      repeats: { type: "string", default: "3" },
      name: { type: "string", default: `${new Date().toISOString().slice(0, 10)}-residency` },
      json: { type: "boolean", default: false },
    },
  });
  const { model, name } = values;
  if (!model) throw new RequestError("--model: expected a folder that `hotset quantize` has written");
  const count = (option: "tokens" | "warm-up" | "prompt" | "repeats"): number => whole(option, values[option]);
  return {
    model,
    ram: bytes("ram", values.ram),
    tokens: count("tokens"),
    warmUp: count("warm-up"),
    prompt: count("prompt"),
    repeats: count("repeats"),
    name: resultName(name),
    json: values.json,
  };
}
