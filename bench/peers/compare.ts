// Samples to table rows: each side's better thread count, the ratio of the medians, and its spread
// over rounds.

import type { Case } from "./cases.ts";
import type { Sample, SideName } from "./types.ts";

/** One measurement of a result. */
export interface Run {
  /** The case's name. */
  readonly case: string;
  readonly round: number;
  readonly side: SideName;
  readonly threads: number;
  readonly promptTokens: number;
  readonly decodeTokens: number;
  /** Milliseconds of the whole process or page. */
  readonly wallMs: number;
  readonly sample?: Sample;
  /** Why there is no sample. */
  readonly error?: string;
}

export type Unit = "tok/s" | "ms" | "bytes";

export interface Best {
  readonly threads: number;
  /** Median over the rounds of each round's median. */
  readonly median: number;
}

/** One line of the table. */
export interface Row {
  readonly name: string;
  readonly unit: Unit;
  readonly ours: Best;
  readonly peer: Best;
  /** ours / peer: for rates above 1 is faster, for times and bytes below 1 is less. */
  readonly ratio: number;
  /** Least and greatest ratio of one round, at the same thread counts. */
  readonly spread: readonly [number, number];
}

/** Our gain from more threads. */
export interface Scaling {
  readonly name: string;
  readonly threads: readonly [number, number];
  /** Median rate on the second count over that on the first. */
  readonly ratio: number;
  readonly spread: readonly [number, number];
}

/** The median; null for an empty list. */
export function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const low = sorted[Math.floor((sorted.length - 1) / 2)];
  const high = sorted[Math.floor(sorted.length / 2)];
  return low === undefined || high === undefined ? null : (low + high) / 2;
}

type Measured = Run & { readonly sample: Sample };
type Values = (sample: Sample) => readonly number[];

interface Question {
  readonly name: string;
  readonly unit: Unit;
  readonly values: Values;
  readonly runs: readonly Measured[];
}

/** The rows; a case where one side always failed has none. */
export function rows(cases: readonly Case[], runs: readonly Run[]): Row[] {
  const measured = runs.filter((run): run is Measured => run.sample !== undefined);
  const of = (chosen: readonly Case[]): Measured[] =>
    measured.filter((run) => chosen.some(({ name, threads }) => name === run.case && threads.includes(run.threads)));
  const questions: Question[] = cases.map((c) => ({
    name: c.name,
    unit: "tok/s",
    values: (sample) => sample[c.quantity],
    runs: of([c]),
  }));
  for (const model of new Set(cases.map((c) => c.model))) {
    const own = cases.filter((c) => c.model === model);
    const longest = own.reduce((a, b) => (b.promptTokens > a.promptTokens ? b : a));
    questions.push(
      { name: `${model}/load`, unit: "ms", values: ({ loadMs }) => [loadMs], runs: of(own) },
      {
        name: `${model}/first token of a page`,
        unit: "ms",
        values: ({ firstTokenMs }) => (firstTokenMs === undefined ? [] : [firstTokenMs]),
        runs: of(own),
      },
      {
        name: `${model}/peak RSS (prompt ${longest.promptTokens})`,
        unit: "bytes",
        values: ({ peakRssBytes }) => (peakRssBytes === null ? [] : [peakRssBytes]),
        runs: of([longest]),
      },
    );
  }
  return questions.map(row).filter((found) => found !== null);
}

function row({ name, unit, values, runs }: Question): Row | null {
  const ours = best(runs, "ours", unit, values);
  const peer = best(runs, "peer", unit, values);
  if (ours === null || peer === null) return null;
  const spread = spreadOf(pick(runs, "ours", ours.threads), pick(runs, "peer", peer.threads), values);
  return { name, unit, ours, peer, ratio: ours.median / peer.median, spread };
}

function pick(runs: readonly Measured[], side: SideName, threads: number): Measured[] {
  return runs.filter((run) => run.side === side && run.threads === threads);
}

/** The thread count with the better median: the higher rate, the shorter time, the fewer bytes. */
function best(runs: readonly Measured[], side: SideName, unit: Unit, values: Values): Best | null {
  let found: Best | null = null;
  for (const threads of new Set(runs.map((run) => run.threads))) {
    const middle = median([...byRound(pick(runs, side, threads), values).values()]);
    if (middle === null) continue;
    const better = found === null || (unit === "tok/s" ? middle > found.median : middle < found.median);
    if (better) found = { threads, median: middle };
  }
  return found;
}

/** Round -> median of its runs; a round without samples is absent. */
function byRound(runs: readonly Measured[], values: Values): Map<number, number> {
  const found = new Map<number, number>();
  for (const round of new Set(runs.map((run) => run.round))) {
    const middle = median(runs.filter((run) => run.round === round).flatMap(({ sample }) => values(sample)));
    if (middle !== null) found.set(round, middle);
  }
  return found;
}

/** Least and greatest ratio of two sets of runs within a round. */
function spreadOf(above: readonly Measured[], below: readonly Measured[], values: Values): readonly [number, number] {
  const divisors = byRound(below, values);
  const ratios = [...byRound(above, values)].flatMap(([round, value]) => {
    const divisor = divisors.get(round);
    return divisor === undefined ? [] : [value / divisor];
  });
  return [Math.min(...ratios), Math.max(...ratios)];
}

/** Our prefill on the largest thread count over one thread. */
export function scaling(cases: readonly Case[], runs: readonly Run[]): Scaling[] {
  const found: Scaling[] = [];
  for (const c of cases.filter(({ quantity }) => quantity === "prefillTps")) {
    const most = Math.max(...c.threads);
    const values: Values = (sample) => sample.prefillTps;
    const at = (threads: number): Measured[] =>
      runs.filter(
        (run): run is Measured =>
          run.case === c.name && run.side === "ours" && run.threads === threads && run.sample !== undefined,
      );
    const [many, one] = [at(most), at(1)];
    const [a, b] = [many, one].map((side) => median([...byRound(side, values).values()]));
    if (most === 1 || a == null || b == null) continue;
    found.push({ name: c.name, threads: [1, most], ratio: a / b, spread: spreadOf(many, one, values) });
  }
  return found;
}
