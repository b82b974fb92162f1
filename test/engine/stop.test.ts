import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createStopFilter } from "../../src/engine/stop.ts";

/** Runs pieces through a filter: what was let through piece by piece, and whether it stopped. */
function run(stops: string[], pieces: string[]) {
  const filter = createStopFilter(stops);
  const out: string[] = [];
  for (const piece of pieces) {
    const { text, stop } = filter.push(piece);
    out.push(text);
    if (stop !== null) {
      expect(stops).toContain(stop);
      return { out, stopped: true };
    }
  }
  out.push(filter.flush());
  return { out, stopped: false };
}

describe("stop strings", () => {
  it.each([
    ["none", [], ["a", "b"], ["a", "b", ""], false],
    ["inside a piece", ["END"], ["one END two"], ["one "], true],
    ["across pieces, nothing of it shown", ["END"], ["a E", "N", "D b"], ["a ", "", ""], true],
    ["a beginning that comes to nothing is let go", ["END"], ["a E", "Nx"], ["a ", "ENx", ""], false],
    ["held at the end of the stream", ["END"], ["a EN"], ["a ", "EN"], false],
    ["the earliest wins", ["cd", "bc"], ["abcd"], ["a"], true],
    ["overlapping beginning", ["aab"], ["aa", "ab"], ["", "a"], true],
  ])("%s", (_name, stops, pieces, out, stopped) => {
    expect(run(stops, pieces)).toEqual({ out, stopped });
  });

  it("shows exactly the text before the first stop string, however it is cut", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 30 });
    const stop = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), fc.array(stop, { maxLength: 3 }), (pieces, stops) => {
        const text = pieces.join("");
        const found = stops.map((s) => text.indexOf(s)).filter((at) => at >= 0);
        const shown = run(stops, pieces).out.join("");
        // A stop that ends in a later piece may lose to one that ended sooner: never more than the
        // first end allows.
        if (found.length === 0) return shown === text;
        const firstEnd = Math.min(...stops.filter((s) => text.includes(s)).map((s) => text.indexOf(s) + s.length));
        return text.startsWith(shown) && shown.length < firstEnd && !stops.some((s) => shown.includes(s));
      }),
    );
  });
});
