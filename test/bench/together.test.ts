// One memory for all layers: what is missing a token, against counting by hand and by trying all.

import { expect, it } from "vitest";
import { together } from "../../bench/experts/together.ts";
import { randomFrom } from "../../src/engine/random.ts";
import type { Trace } from "../../src/experts/trace.ts";

/** Tokens of one sequence: the expert of each of two layers of three. */
function traceOf(tokens: readonly (readonly [number, number])[]): Trace {
  const steps = tokens.map((ids) => ({ tokens: 1, sequences: 1, layers: ids.map((id) => Uint32Array.of(id)) }));
  return { model: "test", layers: 2, experts: 3, k: 1, steps };
}

it("counts what is missing, after a fifth of the tokens", () => {
  const first = [0, 0] as const;
  const other = [1, 1] as const;
  // LRU of two has none of two texts in turn, a fixed set and Belady one of them.
  const found = together(traceOf(Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? first : other))), [2, 4]);
  expect(found[0]).toMatchObject({ memory: 2, lru: 2, fixed: 1, belady: 1 });
  expect(found[1]).toEqual({ memory: 4, lru: 0, hotset: 0, fixed: 0, belady: 0 });
});

it("no way of keeping experts misses fewer than Belady's", () => {
  const random = randomFrom(3);
  const id = (): number => Math.floor(3 * random());
  const tokens = Array.from({ length: 6 }, () => [id(), id()] as const);
  const uses = tokens.flatMap(([a, b]) => [a, 3 + b]);
  // All ways to hold three experts after each use; what the first token misses does not count.
  const least = (at: number, held: readonly number[]): number => {
    if (at === uses.length) return 0;
    const expert = uses[at]!;
    const miss = held.includes(expert) || at < 2 ? 0 : 1;
    const all = held.includes(expert) ? held : [...held, expert];
    const ways = all.length <= 3 ? [all] : all.map((gone) => all.filter((one) => one !== gone));
    return miss + Math.min(...ways.map((way) => least(at + 1, way)));
  };
  const [found] = together(traceOf(tokens), [3]);
  expect(Math.round(5 * found!.belady)).toBe(least(0, []));
  expect(found!.belady).toBeLessThanOrEqual(Math.min(found!.lru, found!.fixed + 1));
});
