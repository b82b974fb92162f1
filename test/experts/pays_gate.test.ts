import { describe, expect, it } from "vitest";
import { PaysGate } from "../../src/experts/pays_gate.ts";

/** Lets tokens pass that take `on` or `off` ms; returns for how many prefetching was on. */
function pass(gate: PaysGate, tokens: number, ms: { readonly on: number; readonly off: number }): number {
  let count = 0;
  for (let i = 0; i < tokens; i++) {
    if (gate.on) count++;
    gate.step(gate.on ? ms.on : ms.off);
  }
  return count;
}

describe("PaysGate", () => {
  const options = { window: 8, rounds: 2, hold: 100 };
  const TEST = 2 * options.window * options.rounds;

  it("tries both in turns, then keeps what is quicker", () => {
    for (const [ms, pays] of [
      [{ on: 90, off: 100 }, true],
      [{ on: 110, off: 100 }, false],
      [{ on: 99.5, off: 100 }, false], // half a percent is not worth the memory
    ] as const) {
      const gate = new PaysGate(options);
      expect(gate.pays).toBe(null);
      expect(pass(gate, TEST, ms)).toBe(TEST / 2);
      expect(gate.pays).toBe(pays);
      expect(pass(gate, options.hold, ms)).toBe(pays ? options.hold : 0);
    }
  });

  it("asks again, and follows what has changed", () => {
    const gate = new PaysGate(options);
    pass(gate, TEST + options.hold, { on: 90, off: 100 });
    expect(pass(gate, TEST, { on: 120, off: 100 })).toBe(TEST / 2);
    expect(gate.pays).toBe(false);
    expect(pass(gate, options.hold, { on: 120, off: 100 })).toBe(0);
    expect(pass(gate, 1, { on: 120, off: 100 })).toBe(0); // the next test begins without
    pass(gate, TEST, { on: 80, off: 100 });
    expect(gate.pays).toBe(true);
  });

  it("asks less and less often for the same answer, eight times as seldom at most", () => {
    const gate = new PaysGate(options);
    const held: number[] = [];
    for (let i = 0; i < 6; i++) {
      pass(gate, TEST, { on: 90, off: 100 });
      let tokens = 0;
      while (gate.on) {
        gate.step(90);
        tokens++;
      }
      held.push(tokens / options.hold);
    }
    expect(held).toEqual([1, 2, 4, 8, 8, 8]);
  });

  it("is not misled by a few slow tokens, nor by those that the turn before has prepared", () => {
    const gate = new PaysGate({ window: 12, rounds: 3, hold: 100 });
    for (let i = 0; i < 72; i++) {
      const first = i % 12 < 2;
      const slow = i === 17;
      gate.step(slow ? 5000 : first ? (gate.on ? 100 : 50) : gate.on ? 90 : 100);
    }
    expect(gate.pays).toBe(true);
  });
});
