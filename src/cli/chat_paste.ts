// Separates pasted text from keys: terminals put it between two sequences (bracketed
// paste) if requested.

export const PASTE_ON = "\x1b[?2004h";
export const PASTE_OFF = "\x1b[?2004l";
const BEGIN = "\x1b[200~";
const END = "\x1b[201~";
/** The beginning of a sequence may also be the key Esc, so it is held back only for so long. */
const HOLD_MS = 50;

export interface PasteSplitter {
  push(chunk: string): void;
}

/**
 * Reports keys and pasted texts in order. A paste is reported as a whole, cut to `limit`
 * characters. A sequence may be split between two chunks.
 */
export function splitPastes(
  onKeys: (keys: string) => void,
  onPaste: (text: string) => void,
  limit: number,
): PasteSplitter {
  let held = ""; // may be the beginning of a sequence
  let pasted: string | null = null; // within a paste: its text so far
  let timer: NodeJS.Timeout | undefined;
  const keep = (text: string): void => {
    pasted = (pasted! + text).slice(0, limit);
  };
  return {
    push(chunk) {
      clearTimeout(timer);
      let rest = held + chunk;
      held = "";
      while (rest !== "") {
        const mark = pasted === null ? BEGIN : END;
        const at = rest.indexOf(mark);
        if (at < 0) break;
        const before = rest.slice(0, at);
        rest = rest.slice(at + mark.length);
        if (pasted === null) {
          if (before !== "") onKeys(before);
          pasted = "";
        } else {
          keep(before);
          const text = pasted;
          pasted = null;
          onPaste(text);
        }
      }
      const open = beginningOf(pasted === null ? BEGIN : END, rest);
      held = rest.slice(rest.length - open);
      const whole = rest.slice(0, rest.length - open);
      if (pasted !== null) keep(whole);
      else {
        if (whole !== "") onKeys(whole);
        if (held !== "") {
          timer = setTimeout(() => {
            const keys = held;
            held = "";
            onKeys(keys);
          }, HOLD_MS);
        }
      }
    },
  };
}

/** How many characters at the end of `text` may be the beginning of `mark`. */
function beginningOf(mark: string, text: string): number {
  for (let n = Math.min(mark.length - 1, text.length); n > 0; n--) if (text.endsWith(mark.slice(0, n))) return n;
  return 0;
}
