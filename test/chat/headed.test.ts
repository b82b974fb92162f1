// Required calls behind headers of tokens: only the headers, then the grammar of the chosen one.

import { expect, it } from "vitest";
import { oneOfHeaded } from "../../src/engine/headed_constraint.ts";
import type { Constraint } from "../../src/grammar/types.ts";

function fixed(bits: number): Constraint & { closed: boolean; ended: boolean } {
  return {
    closed: false,
    ended: false,
    mask: async () => Int32Array.of(bits, 0),
    accept() {
      this.ended = true;
    },
    close() {
      this.closed = true;
    },
  };
}

it("allows the headers' tokens, then what belongs to the one that was written", async () => {
  const [a, b] = [fixed(1), fixed(2)];
  const constraint = oneOfHeaded(
    [
      { head: [33, 4], text: a },
      { head: [33, 5, 6], text: b },
    ],
    64,
  );
  expect([...(await constraint.mask())!]).toEqual([0, 2]);
  constraint.accept(33);
  expect([...(await constraint.mask())!]).toEqual([(1 << 4) | (1 << 5), 0]);
  constraint.accept(5);
  expect([...(await constraint.mask())!]).toEqual([1 << 6, 0]);
  constraint.accept(6);
  expect([...(await constraint.mask())!]).toEqual([2, 0]);
  constraint.accept(1);
  expect([constraint.ended, a.ended, b.ended]).toEqual([true, false, true]);
  constraint.close();
  expect([a.closed, b.closed]).toEqual([true, true]);
});
