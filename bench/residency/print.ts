// The table of a residency benchmark: a row for each process, then the share of
// the machine's limits.

import { formatBytes } from "../../src/cli/output.ts";
import { type Bounds, median, rate } from "./bounds.ts";
import type { DecodeReport, ProcessFigures, ReplayReport } from "./types.ts";

const COLUMNS = [
  ...[
    "tok/s",
    "median ms",
    "hit",
    "read GB",
    "past cache",
    "disk GB",
    "stall ms",
    "disk ms",
    "experts ms",
    "user ms",
    "sys ms",
  ],
  ...["faults", "peak RSS"],
];

export const HEAD = line("a token, mean", COLUMNS);

export function decodeRow(title: string, report: DecodeReport): string {
  const { tokenMs, bytes, ms, process, maxRssBytes, hitRate, bypassed } = report;
  const n = tokenMs.length;
  return line(title, [
    rate(report).toFixed(3),
    median(tokenMs).toFixed(0),
    `${(100 * hitRate).toFixed(1)} %`,
    ((bytes.demand + bytes.prefetch) / n / 1e9).toFixed(2),
    `${(100 * bypassed).toFixed(0)} %`,
    (process.diskBytes / n / 1e9).toFixed(2),
    (ms.stall / n).toFixed(0),
    (ms.disk / n).toFixed(0),
    (ms.expertCompute / n).toFixed(0),
    ...processCells(process, n),
    formatBytes(maxRssBytes),
  ]);
}

export function replayRow(title: string, { bytes, ms, process }: ReplayReport, tokens: number): string {
  const [none, read] = ["-", (bytes / tokens / 1e9).toFixed(2)];
  return line(title, [
    ...[none, (ms / tokens).toFixed(0), none, read, none, (process.diskBytes / tokens / 1e9).toFixed(2)],
    ...[none, none, none, ...processCells(process, tokens), none],
  ]);
}

function processCells({ userMs, systemMs, minorFaults, majorFaults }: ProcessFigures, tokens: number): string[] {
  return [userMs, systemMs, minorFaults + majorFaults].map((value) => (value / tokens).toFixed(0));
}

export function boundsText(bounds: Bounds, reached: number): string {
  const { bytesPerToken, readRate, readSeconds, computeSeconds, overlapped, inTurn } = bounds;
  const share = (bound: number): string =>
    `${bound.toFixed(3)} tok/s, ${((100 * reached) / bound).toFixed(0)} % of it reached`;
  return [
    `  ${formatBytes(bytesPerToken)} a token at ${formatBytes(readRate)}/s: ${(1e3 * readSeconds).toFixed(0)} ms; computing alone: ${(1e3 * computeSeconds).toFixed(0)} ms`,
    `  allowed if both overlapped entirely: ${share(overlapped)}; one after the other: ${share(inTurn)}`,
  ].join("\n");
}

function line(first: string, cells: readonly string[]): string {
  return first.padEnd(18) + cells.map((cell) => cell.padStart(11)).join("");
}
