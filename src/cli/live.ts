// A line under the text on a terminal, rewritten in place while a model generates.

const REDRAW_MS = 200;
// Down and up a line (ESC D, ESC M) makes sure that there is a line below, and leaves the column alone; so does saving the
// place (ESC 7), going there, and coming back (ESC 8).
const BELOW = "\x1bD\x1bM\x1b7\x1bD\r\x1b[2K";
const BACK = "\x1b8";

/** The line goes to stderr: where that and stdout are one terminal, `clear` before text is written, `draw` after it. */
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
