// `npm run bench -- speculation`: what drafts are worth, on usual texts and on copied ones, and
// that the tokens are the same.

import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { usableCores } from "../../src/backend/cpu/node_threads.ts";
import { RequestError } from "../../src/errors.ts";
import { exitCode, resultName, whole } from "../arguments.ts";
import { exitOnSignals } from "../leftovers.ts";
import { runNode } from "../peers/children.ts";
import { median } from "../residency/bounds.ts";
import { about, stamp, writeResult } from "../result.ts";
import type { ReplayedText, Row, Task } from "./child.ts";

const USAGE = `usage: npm run bench -- speculation [--model models/tales] [--weights auto] [--draft <model>] [--threads <n>] [--tokens 200]
         [--adapter <part of a WebGPU adapter's name>] [--slots <experts of a layer in RAM> --read-ms <of a simulated disk>] [--oracle | --replay] [--repeats 3] [--name <of the result>]`;

/** A text: medians over the repeats. */
interface Summary extends Pick<Row, "name" | "kind"> {
  readonly offTps: number;
  readonly onTps: number;
  /** Medians of the ratios of each repeat: of tokens a second, and of processor time saved. */
  readonly ratio: number;
  readonly cpuRatio: number;
  /** What drafts that are right give: of any token, and of those that the lookup may know. */
  readonly bound?: { readonly all: number; readonly known: number };
  /** Tokens of the answer a step; a draft's are none. */
  readonly tokensPerStep: number;
  /** Of a GPU, after the first token; null on the CPU. */
  readonly submitsPerToken: number | null;
  /** Missing experts a token after the first, without drafts and with; null: all are in memory. */
  readonly missingPerToken: { readonly off: number; readonly on: number } | null;
  /** Whether the tokens are those without drafts: on a GPU other kernels compute them there. */
  readonly same: boolean;
  readonly drafted: number;
  readonly accepted: number;
}

/** A repeat: rows by text, of each way. */
interface Run {
  readonly off: readonly Row[];
  readonly on: readonly Row[];
  readonly known?: readonly Row[];
  readonly all?: readonly Row[];
}

/** Takes the measurements; returns the exit code. */
export function speculationCommand(root: URL, args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse.bind(null, root), async (options) => {
    exitOnSignals();
    await (options.replay ? replay : run)(root, args, options);
    return 0;
  });
}

async function run(root: URL, args: readonly string[], options: ReturnType<typeof parse>): Promise<void> {
  const { task, way, oracle, repeats, name } = options;
  const script = fileURLToPath(new URL("dist/bench/speculation/child.js", root));
  const runs: Run[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    const groups = groupsOf(task, ["off", way, ...(oracle ? ["oracle known", "oracle all"] : [])]);
    if (repeat % 2 === 1) groups.reverse(); // what changes on the machine meets all
    const rows: Record<string, Row[]> = {};
    for (const ways of groups)
      Object.assign(rows, await runNode(root, script, [JSON.stringify({ ...task, ways, repeat } satisfies Task)]));
    const [known, all] = [rows["oracle known"], rows["oracle all"]];
    runs.push({ off: rows.off!, on: rows[way]!, ...(known && all && { known, all }) });
  }
  const summaries = runs[0]!.off.map((_, at) => summary(runs, at));
  for (const row of summaries) console.log(line(row));
  const of = (kind: Row["kind"]): number[] => summaries.filter((row) => row.kind === kind).map(({ ratio }) => ratio);
  const least = Math.min(...of("usual"));
  console.log(
    `medians: ${(["copied", "quoted", "edited", "repeated"] as const).map((kind) => `${kind} ${median(of(kind)).toFixed(2)}`).join(", ")}; of usual texts the least ${least.toFixed(2)}`,
  );
  const said = args.map((arg) => (arg.includes("/") ? basename(arg) : arg));
  const head = about(root, name, ["speculation", ...said]);
  const what = { ...task, model: basename(task.model), way: basename(way) };
  writeResult(root, name, { ...head, kind: "speculation", ...what, repeats, summaries, runs });
  console.log(`written to bench/results/${name}.json`);
}

/** What the decisions gain, at costs that are given. */
async function replay(root: URL, args: readonly string[], { task, name }: ReturnType<typeof parse>): Promise<void> {
  const script = fileURLToPath(new URL("dist/bench/speculation/child.js", root));
  const asked: Task = { ...task, ways: ["off"], repeat: 0, replay: true };
  const rows = (await runNode(root, script, [JSON.stringify(asked)])) as ReplayedText[];
  for (const { name, gain, known, drafted, accepted } of rows)
    console.log(
      `${name.padEnd(12)}${gain.toFixed(3)}x of ${known.toFixed(3)}x known  ${accepted} of ${drafted} drafts right`,
    );
  const head = about(root, name, ["speculation", ...args.map((arg) => (arg.includes("/") ? basename(arg) : arg))]);
  writeResult(root, name, { ...head, kind: "speculation-replay", ...task, model: basename(task.model), rows });
  console.log(`written to bench/results/${name}.json`);
}

/**
 * The ways of each process. All in one, on one model, take turns text by text: two processes differ
 * more than drafts of usual texts do. One in each where the ways would not find the same: where
 * experts have slots, those of the answer before, and a GPU's kernels depend on whether there may
 * be drafts.
 */
export function groupsOf({ slots, adapter }: Pick<Task, "slots" | "adapter">, ways: readonly string[]): string[][] {
  return slots === null && adapter === null ? [[...ways]] : ways.map((way) => [way]);
}

/** @throws Error where a text's tokens differ: on a GPU those of the same kernels */
export function summary(runs: readonly Run[], at: number): Summary {
  const pairs = runs.map(({ off, on }) => ({ off: off[at]!, on: on[at]! }));
  const [first] = pairs;
  const { name, kind, digest } = first!.off;
  const { tokens, drafted, accepted, submits, missing, digest: found } = first!.on;
  const same = found === digest;
  if (pairs.some(({ off, on }) => off.digest !== digest || on.digest !== found) || !(same || submits !== null))
    throw new Error(`${name}: the tokens differ with drafts`);
  const submitsPerToken = submits && submits / (tokens - 1);
  const off = first!.off.missing;
  const missingPerToken =
    missing === null || off === null ? null : { off: off / (first!.off.tokens - 1), on: missing / (tokens - 1) };
  return {
    ...{
      name,
      kind,
      drafted,
      accepted,
      tokensPerStep: tokens / (tokens - accepted),
      submitsPerToken,
      missingPerToken,
      same,
    },
    offTps: median(pairs.map(({ off }) => off.decodeTps)),
    onTps: median(pairs.map(({ on }) => on.decodeTps)),
    ratio: median(pairs.map(({ off, on }) => on.decodeTps / off.decodeTps)),
    cpuRatio: median(pairs.map(({ off, on }) => off.cpuMs / on.cpuMs)),
    ...boundOf(runs, at),
  };
}

function boundOf(runs: readonly Run[], at: number): Pick<Summary, "bound"> {
  const ratios = (which: "known" | "all"): number[] =>
    runs.flatMap((run) => (run[which] ? run[which][at]!.decodeTps / run.off[at]!.decodeTps : []));
  if (ratios("all").length === 0) return {};
  return { bound: { all: median(ratios("all")), known: median(ratios("known")) } };
}

function line({ name, offTps, onTps, ratio, cpuRatio, bound, same, ...row }: Summary): string {
  const { tokensPerStep, submitsPerToken, missingPerToken: missing, drafted, accepted } = row;
  const given = submitsPerToken === null ? "" : `, ${submitsPerToken.toFixed(2)} submits a token`;
  const brought = missing
    ? `, ${missing.on.toFixed(2)} missing experts a token, ${missing.off.toFixed(2)} without`
    : "";
  const most = bound ? ` of ${bound.known.toFixed(2)}x known and ${bound.all.toFixed(2)}x of all` : "";
  const rates = `${offTps.toFixed(1).padStart(8)} off ${onTps.toFixed(1).padStart(8)} on`;
  return `${name.padEnd(12)}${rates}  ${ratio.toFixed(2)}x${most} (processor ${cpuRatio.toFixed(2)}x)  ${tokensPerStep.toFixed(2)} tokens a step, ${accepted} of ${drafted} drafts right${given}${brought}${same ? "" : ", other tokens"}`;
}

function parse(root: URL, args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: "string", default: fileURLToPath(new URL("models/tales", root)) },
      weights: { type: "string", default: "auto" },
      draft: { type: "string" },
      adapter: { type: "string" },
      threads: { type: "string", default: String(usableCores()) },
      tokens: { type: "string", default: "200" },
      slots: { type: "string" },
      "read-ms": { type: "string", default: "0" },
      oracle: { type: "boolean", default: false },
      replay: { type: "boolean", default: false },
      repeats: { type: "string", default: "3" },
      name: { type: "string" },
    },
  });
  const { model, weights, draft, slots, oracle, replay, adapter = null } = values;
  if (oracle && adapter !== null) throw new RequestError("--oracle: expected the CPU, without --adapter");
  if (replay && (oracle || adapter !== null || slots !== undefined || draft !== undefined))
    throw new RequestError("--replay: expected none of --oracle, --adapter, --slots and --draft");
  const readMs = whole("read-ms", values["read-ms"], 0);
  if (readMs > 0 && slots === undefined) throw new RequestError("--read-ms: expected --slots too, or nothing is read");
  const task: Omit<Task, "ways" | "repeat"> = {
    ...{ model, weights, readMs, adapter },
    threads: whole("threads", values.threads),
    tokens: whole("tokens", values.tokens, 2),
    slots: slots === undefined ? null : whole("slots", slots),
  };
  const name = resultName(values.name ?? `${stamp(root)}-speculation`);
  return { task, way: draft ?? "lookup", oracle, replay, repeats: whole("repeats", values.repeats), name };
}
