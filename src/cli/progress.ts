// The progress line on stderr for loading, writing and checking: on a terminal only, rewritten in
// place and removed at the end.

import { formatBytes, formatDuration } from "./output.ts";

export interface Progress {
  /** For OpenOptions.onProgress: bytes of packed weights done, and in total. */
  readonly update: (done: number, total: number) => void;
  /** For OpenOptions.onTuning. */
  readonly tuning: (done: number, total: number) => void;
  /** Clears the line. */
  readonly end: () => void;
}

const REDRAW_MS = 100;
/** The rate is that of this time: a download slows down and recovers. */
const RATE_MS = 10_000;

export function loadingProgress(quiet: boolean): Progress {
  return progressLine("loading", quiet);
}

/** For work that takes minutes: with its rate and the remaining time. */
export function longProgress(verb: string, quiet: boolean): Progress {
  const recent: { readonly at: number; readonly done: number }[] = [];
  return progressLine(verb, quiet, (done, total) => {
    recent.push({ at: performance.now(), done });
    // The first one counts what was done before this run, and what was waited for before it.
    while (recent.length > 2 && recent[1]!.at < performance.now() - RATE_MS) recent.shift();
    const { at, done: before } = recent[0]!;
    const seconds = (performance.now() - at) / 1000;
    const rate = (done - before) / seconds;
    if (seconds < 1 || rate <= 0) return "";
    return `, ${formatBytes(rate)}/s, ${formatDuration((total - done) / rate)} left`;
  });
}

function progressLine(verb: string, quiet: boolean, more = (_done: number, _total: number): string => ""): Progress {
  if (quiet || !process.stderr.isTTY) return { update: () => {}, tuning: () => {}, end: () => {} };
  let drawn = 0;
  const draw = (done: number, total: number, text: () => string): void => {
    const now = performance.now();
    if (now - drawn < REDRAW_MS && done < total) return;
    drawn = now;
    process.stderr.write(`\r\x1b[K${text()}`);
  };
  return {
    update(done, total) {
      draw(done, total, () => {
        const percent = total > 0 ? Math.floor((100 * done) / total) : 100;
        const bytes = `${formatBytes(done)} of ${formatBytes(total)}`;
        return `${verb} ${percent} % (${bytes})${more(done, total)}`;
      });
    },
    tuning(done, total) {
      draw(done, total, () => `timing kernels for this GPU, once: ${done} of ${total}`);
    },
    end() {
      if (drawn > 0) process.stderr.write("\r\x1b[K");
    },
  };
}
