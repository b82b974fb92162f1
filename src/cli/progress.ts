// The progress line on stderr for loading, writing and checking: on a terminal only, rewritten in
// place and removed at the end.

import { formatBytes, formatDuration } from "./output.ts";

export interface Progress {
  /** For OpenOptions.onProgress: bytes of packed weights done, and in total. */
  readonly update: (done: number, total: number) => void;
  /** Clears the line. */
  readonly end: () => void;
}

const REDRAW_MS = 100;

export function loadingProgress(quiet: boolean): Progress {
  return progressLine("loading", quiet);
}

/** For work that takes minutes: with its rate and the remaining time. */
export function longProgress(verb: string, quiet: boolean): Progress {
  const started = performance.now();
  let first: number | null = null; // bytes done before this run
  return progressLine(verb, quiet, (done, total) => {
    first ??= done;
    const seconds = (performance.now() - started) / 1000;
    const rate = (done - first) / seconds;
    if (seconds < 1 || rate <= 0) return "";
    return `, ${formatBytes(rate)}/s, ${formatDuration((total - done) / rate)} left`;
  });
}

function progressLine(verb: string, quiet: boolean, more = (_done: number, _total: number): string => ""): Progress {
  if (quiet || !process.stderr.isTTY) return { update: () => {}, end: () => {} };
  let drawn = 0;
  return {
    update(done, total) {
      const now = performance.now();
      if (now - drawn < REDRAW_MS && done < total) return;
      drawn = now;
      const percent = total > 0 ? Math.floor((100 * done) / total) : 100;
      const bytes = `${formatBytes(done)} of ${formatBytes(total)}`;
      process.stderr.write(`\r\x1b[K${verb} ${percent} % (${bytes})${more(done, total)}`);
    },
    end() {
      if (drawn > 0) process.stderr.write("\r\x1b[K");
    },
  };
}
