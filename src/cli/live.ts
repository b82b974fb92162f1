// A status line under the text on a terminal, rewritten in place while a model generates.

const REDRAW_MS = 200;
// Going down and up a line (ESC D, ESC M) makes sure that there is a line below, without changing
// the column. The cursor is saved (ESC 7), moved there, and restored (ESC 8).
const BELOW = "\x1bD\x1bM\x1b7\x1bD\r\x1b[2K";
const BACK = "\x1b8";

/**
 * The line is written to stderr. Call `clear` before writing text to stdout, and `draw` after it.
 */
export interface LiveLine {
  draw(text: () => string): void;
  clear(): void;
}

export function liveLine(shown: boolean): LiveLine {
  let drawn = false;
  let text = "";
  let last = Number.NEGATIVE_INFINITY;
  return {
    draw(line) {
      if (!shown) return;
      const now = performance.now();
      if (now - last >= REDRAW_MS) {
        text = line();
        last = now;
      } else if (drawn) return;
      process.stderr.write(`${BELOW}\x1b[2m${text}\x1b[22m${BACK}`);
      drawn = true;
    },
    clear() {
      if (drawn) process.stderr.write(`${BELOW}${BACK}`);
      drawn = false;
    },
  };
}
