// A comparison's figures from samples: better thread counts, ratios, spreads, and failures.

import { expect, it } from "vitest";
import { type Case, longPrompt } from "../../bench/peers/cases.ts";
import { type Run, rows, scaling } from "../../bench/peers/compare.ts";
import type { SideName } from "../../bench/peers/types.ts";

const CASE: Case = {
  name: "tales/prefill 128",
  model: "tales",
  quantity: "prefillTps",
  promptTokens: 128,
  decodeTokens: 1,
  repeats: 3,
  threads: [1, 2],
  alone: [],
};

function run(side: SideName, threads: number, round: number, prefillTps: readonly number[], more: object = {}): Run {
  const sample = { prefillTps, decodeTps: [], loadMs: 100 * threads, peakRssBytes: 1000, engine: "", ...more };
  return { case: CASE.name, round, side, threads, promptTokens: 128, decodeTokens: 1, wallMs: 1, sample };
}

const RUNS = [
  run("ours", 1, 1, [10, 12, 11]),
  run("ours", 1, 2, [13]),
  run("ours", 2, 1, [20]),
  run("ours", 2, 2, [24]),
  run("peer", 1, 1, [40], { peakRssBytes: 500 }),
  run("peer", 1, 2, [40], { peakRssBytes: 500 }),
  run("peer", 2, 1, [30]),
  run("peer", 2, 2, [30]),
];

it("compares each side's better thread count, and reports the spread of the ratio over rounds", () => {
  const [prefill, load, rss] = rows([CASE], RUNS);
  expect(prefill).toEqual({
    name: "tales/prefill 128",
    unit: "tok/s",
    ours: { threads: 2, median: 22 },
    peer: { threads: 1, median: 40 },
    ratio: 0.55,
    spread: [0.5, 0.6],
  });
  expect(load).toMatchObject({ unit: "ms", ours: { threads: 1, median: 100 }, ratio: 1 });
  expect(rss).toMatchObject({ unit: "bytes", peer: { threads: 1, median: 500 }, ratio: 2 });
});

it("reports the gain from threads: medians of 22 over 12", () => {
  expect(scaling([CASE], RUNS)).toEqual([
    { name: CASE.name, threads: [1, 2], ratio: 22 / 12, spread: [20 / 11, 24 / 13] },
  ]);
});

it("has no row for a side without samples, and none of memory in a page", () => {
  const failed = RUNS.map((one) => (one.side === "peer" ? { ...one, sample: undefined, error: "crashed" } : one));
  expect(rows([CASE], failed as Run[])).toEqual([]);
  const pages = RUNS.map((one) => ({ ...one, sample: { ...one.sample!, peakRssBytes: null } }));
  expect(rows([CASE], pages).map(({ name }) => name)).toEqual(["tales/prefill 128", "tales/load"]);
});

it("compares a page's first token: the better thread count of each side", () => {
  const times = { ours: { 1: [900, 500], 2: [700, 600] }, peer: { 1: [1000, 1400], 2: [2000, 2000] } };
  const pages = RUNS.map((one) => {
    const firstTokenMs = times[one.side][one.threads as 1 | 2][one.round - 1]!;
    return { ...one, sample: { ...one.sample!, firstTokenMs } };
  });
  expect(rows([CASE], pages).find(({ name }) => name.includes("first token"))).toEqual({
    name: "tales/first token of a page",
    unit: "ms",
    ours: { threads: 2, median: 650 },
    peer: { threads: 1, median: 1200 },
    ratio: 650 / 1200,
    spread: [600 / 1400, 700 / 1000],
  });
});

it("does not mix threads measured on our side alone into the comparison", () => {
  const alone: Case = { ...CASE, threads: [2], alone: [1] };
  const fast = [...RUNS.filter(({ threads }) => threads === 2), run("ours", 1, 1, [900])];
  expect(rows([alone], fast)[0]).toMatchObject({ ours: { threads: 2, median: 22 }, peer: { threads: 2, median: 30 } });
});

it("takes the longest prompt that fits the context", () => {
  expect(longPrompt(32768, 24)).toBe(2048);
  expect(longPrompt(2048, 64)).toBe(1920);
});
