// The progress line of a batch on a terminal: how much is answered, the rate, the time left.

import type { Counts } from "./batch_run.ts";
import { formatDuration } from "./output.ts";

export interface BatchProgress {
  /** @param position bytes of the input that are done */
  readonly update: (counts: Counts, position: number) => void;
  /** Clears the line. */
  readonly end: () => void;
}

const REDRAW_MS = 100;

/** @param size bytes of the input; null where it is a stream */
export function batchProgress(size: number | null, quiet: boolean): BatchProgress {
  if (quiet || !process.stderr.isTTY) return { update: () => {}, end: () => {} };
  let drawn = 0;
  let start = { at: performance.now(), position: 0 };
  return {
    update(counts, position) {
      const now = performance.now();
      // What earlier runs answered is passed over in no time.
      if (counts.done === counts.before) start = { at: now, position };
      if (now - drawn < REDRAW_MS) return;
      drawn = now;
      process.stderr.write(`\r\x1b[K${progressText(counts, position, size, start.position, (now - start.at) / 1000)}`);
    },
    end() {
      if (drawn > 0) process.stderr.write("\r\x1b[K");
    },
  };
}

/**
 * "37 % (120 answered, 2 of them errors), 3.1 requests/s, 2 min 5 s left".
 * @param from bytes of the input that were done when this run began
 * @param seconds of this run
 */
export function progressText(
  { done, before, errors }: Counts,
  position: number,
  size: number | null,
  from: number,
  seconds: number,
): string {
  const parts = [`${done} answered${errors > 0 ? `, ${errors} of them errors` : ""}`];
  if (size !== null && size > 0) parts[0] = `${Math.floor((100 * position) / size)} % (${parts[0]})`;
  const rate = (done - before) / seconds;
  if (seconds >= 1 && rate > 0) {
    parts.push(`${rate.toFixed(rate < 10 ? 1 : 0)} requests/s`);
    const bytes = (position - from) / seconds;
    if (size !== null && bytes > 0) parts.push(`${formatDuration((size - position) / bytes)} left`);
  }
  return parts.join(", ");
}
