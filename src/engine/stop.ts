// Stop strings in a stream of text: lets text through that can no longer become part of one.

export interface StopFilter {
  /**
   * Takes the next text; returns the text that is safe to show, and the stop string that was
   * completed, or null.
   */
  push(text: string): { text: string; stop: string | null };
  /** The text that was held back, when the stream ends without a stop string. */
  flush(): string;
}

/**
 * Cuts a stream at the earliest of `stops`, none of them empty. The stop string itself is
 * not let through.
 */
export function createStopFilter(stops: readonly string[]): StopFilter {
  const longest = stops.reduce((max, stop) => Math.max(max, stop.length), 0);
  let held = "";
  return {
    push(text) {
      held += text;
      let at = -1;
      let first: string | null = null;
      for (const stop of stops) {
        const found = held.indexOf(stop);
        if (found >= 0 && (at < 0 || found < at)) [at, first] = [found, stop];
      }
      if (at >= 0) {
        const before = held.slice(0, at);
        held = "";
        return { text: before, stop: first };
      }
      // Hold back the longest end of the text that begins some stop string.
      let keep = Math.min(held.length, longest - 1);
      while (keep > 0 && !stops.some((stop) => stop.startsWith(held.slice(held.length - keep)))) keep--;
      const safe = keep > 0 ? held.slice(0, held.length - keep) : held;
      held = keep > 0 ? held.slice(held.length - keep) : "";
      return { text: safe, stop: null };
    },
    flush() {
      const rest = held;
      held = "";
      return rest;
    },
  };
}
