// The loading line on stderr: shown on a terminal only, rewritten in place and gone once the model is there.

import { formatBytes } from "./output.ts";

export interface Progress {
  /** For OpenOptions.onProgress: bytes of packed weights done and in all. */
  readonly update: (done: number, total: number) => void;
  /** Clears the line. */
  readonly end: () => void;
}

const REDRAW_MS = 100;

export function loadingProgress(quiet: boolean): Progress {
  if (quiet || !process.stderr.isTTY) return { update: () => {}, end: () => {} };
  let drawn = 0;
  return {
    update(done, total) {
      const now = performance.now();
      if (now - drawn < REDRAW_MS && done < total) return;
      drawn = now;
      const percent = total > 0 ? Math.floor((100 * done) / total) : 100;
      process.stderr.write(`\r\x1b[Kloading ${percent} % (${formatBytes(done)} of ${formatBytes(total)})`);
    },
    end() {
      if (drawn > 0) process.stderr.write("\r\x1b[K");
    },
  };
}
