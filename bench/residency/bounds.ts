// The limits that the measured rates of disk and arithmetic give, and the share that was reached.

import type { DecodeReport, ReplayReport } from "./types.ts";

/** Figures of one token, means over the measured ones. Times in seconds. */
export interface Bounds {
  readonly bytesPerToken: number;
  /** Bytes a second of the same reads without computing. */
  readonly readRate: number;
  readonly readSeconds: number;
  /** A token whose experts need no read. */
  readonly computeSeconds: number;
  /** Tokens a second if reading and computing overlapped entirely, and if not at all. */
  readonly overlapped: number;
  readonly inTurn: number;
}

/** @param kept the measured decode @param compute the same steps without reads */
export function bounds(kept: DecodeReport, reads: ReplayReport, compute: DecodeReport): Bounds {
  const bytesPerToken = reads.bytes / kept.tokenMs.length;
  const readRate = reads.bytes / (reads.ms / 1e3);
  const readSeconds = bytesPerToken / readRate;
  const computeSeconds = 1 / rate(compute);
  return {
    bytesPerToken,
    readRate,
    readSeconds,
    computeSeconds,
    overlapped: 1 / Math.max(readSeconds, computeSeconds),
    inTurn: 1 / (readSeconds + computeSeconds),
  };
}

/** Tokens a second, over all measured tokens. */
export function rate({ tokenMs }: DecodeReport): number {
  return (1e3 * tokenMs.length) / tokenMs.reduce((sum, ms) => sum + ms, 0);
}

/** The median. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.floor(sorted.length / 2)]!) / 2;
}
