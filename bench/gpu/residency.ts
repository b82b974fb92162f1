// `node dist/bench/gpu/residency.js`: the time of a token on WebGPU when only some experts are on
// the device, for every way to handle the others, in turns. Uses nothing that a bare machine lacks.

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Costs } from "../../src/experts/costs.ts";
import { type CounterValues, difference, total } from "../../src/experts/counters.ts";
import { routingOf } from "../../src/model/family.ts";
import { median } from "../residency/bounds.ts";
import { commit, machine } from "../result.ts";
import { openWays, type WayModel } from "./residency_ways.ts";

// This file runs as dist/bench/gpu/residency.js.
const root = new URL("../../../", import.meta.url);
const USAGE = `usage: node dist/bench/gpu/residency.js [--model <folder or synthetic:...>] [--slots 4] [--tokens 32] [--warm-up 32]
         [--rounds 3] [--threads <number>] [--adapter <part of a name>] [--budget <seconds>] --out <file>`;

/** One way to handle experts that are not on the device. */
interface WayResult {
  readonly name: string;
  /** Milliseconds a token, of each round. */
  readonly tokenMs: number[];
  median: number;
  /** Means a token over all rounds; null if all experts are on the device. */
  counters: Record<string, number> | null;
  /** The final rates of the cost model. */
  costs: readonly string[] | null;
}

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "synthetic:mixtral-8x7b?layers=8" },
    slots: { type: "string", default: "4" },
    tokens: { type: "string", default: "32" },
    "warm-up": { type: "string", default: "32" },
    rounds: { type: "string", default: "3" },
    threads: { type: "string" },
    adapter: { type: "string" },
    budget: { type: "string" },
    out: { type: "string" },
  },
});

function count(option: "slots" | "tokens" | "warm-up" | "rounds" | "threads" | "budget"): number | undefined {
  const text = values[option];
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  console.error(`--${option}: expected a whole number of at least 1, found "${text}"\n${USAGE}`);
  process.exit(2);
}

const { out } = values;
if (out === undefined) {
  console.error(USAGE);
  process.exit(2);
}
const [slots, tokens, warmUp, rounds] = [count("slots")!, count("tokens")!, count("warm-up")!, count("rounds")!];
const end = performance.now() + 1e3 * (count("budget") ?? Number.POSITIVE_INFINITY);

const date = new Date().toISOString();
const model = await openWays(
  { model: values.model, slots, adapter: values.adapter, threads: count("threads") },
  warmUp + tokens,
);
const results: WayResult[] = model.ways.map(({ name }) => {
  return { name, tokenMs: [], median: 0, counters: null, costs: null };
});
const counted: CounterValues[][] = model.ways.map(() => []);
const measured = new Costs(model.rates).describe(model.recordBytes);
console.log([`${model.backend.device}${model.backend.software ? " (software)" : ""}`, ...measured].join("\n"));
let done = 0;
for (; done < rounds && performance.now() < end; done++) {
  const order = [...model.ways.keys()];
  for (const i of done % 2 === 0 ? order : order.reverse()) await measure(i, model.ways[i]!);
  write();
}
for (const { name, median, tokenMs } of results)
  console.log(
    `${name.padEnd(24)}${median.toFixed(2).padStart(9)} ms a token   ${tokenMs.map((ms) => ms.toFixed(2)).join(" ")}`,
  );
await model.close();
if (done < rounds) console.error(`${rounds - done} of ${rounds} rounds were not begun within the budget of time`);
process.exit(done > 0 ? 0 : 1);

/** Decodes until the slots are filled, and then measures. */
async function measure(i: number, way: WayModel): Promise<void> {
  const result = results[i]!;
  way.clear();
  await way.decode(warmUp);
  const before = way.counters();
  const began = performance.now();
  await way.decode(tokens);
  result.tokenMs.push((performance.now() - began) / tokens);
  result.median = median(result.tokenMs);
  result.costs = way.costs()?.describe(model.recordBytes) ?? null;
  if (!before) return;
  counted[i]!.push(difference(way.counters()!, before));
  result.counters = perToken(counted[i]!);
}

/** Sums over rounds, divided by their tokens. */
function perToken(rounds: readonly CounterValues[]): Record<string, number> {
  const figures = rounds.map(({ tokens, layers, bytes, experts, ms }): Record<string, number> => {
    const { routed, hits, admissions } = total(layers);
    const named = (prefix: string, from: Record<string, number>): [string, number][] =>
      Object.entries(from).map(([name, value]) => [`${prefix} ${name}`, value]);
    return {
      tokens,
      routed,
      hits,
      admissions,
      ...Object.fromEntries([...named("experts", experts), ...named("bytes", bytes), ...named("ms", ms)]),
    };
  });
  const sum = (name: string): number => figures.reduce((n, round) => n + round[name]!, 0);
  const all = sum("tokens");
  return Object.fromEntries(Object.keys(figures[0]!).map((name) => [name, name === "tokens" ? all : sum(name) / all]));
}

/** Writes the result after each round, so that an aborted run leaves its results. */
function write(): void {
  const { backend, architecture, recordBytes, threads, loadMs, rates } = model;
  const result = {
    schema: 1,
    kind: "residency-gpu",
    date,
    command: ["node", "dist/bench/gpu/residency.js", ...process.argv.slice(2)].join(" "),
    commit: commit(root),
    machine: machine(),
    report: {
      model: values.model,
      backend,
      layers: architecture.layers.length,
      experts: routingOf(architecture).count,
      perToken: routingOf(architecture).perToken,
      slots,
      recordBytes,
      threads,
      loadMs,
      tokens,
      warmUp,
      rates,
      costs: measured,
      ways: results,
    },
  };
  writeFileSync(out!, `${JSON.stringify(result, null, 1)}\n`);
}
