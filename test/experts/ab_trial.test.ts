import { describe, expect, it } from "vitest";
import { AbTrial } from "../../src/experts/ab_trial.ts";

/** Passes tokens of `on` or `off` ms; returns how many had the option on. */
function pass(trial: AbTrial, tokens: number, ms: { readonly on: number; readonly off: number }): number {
  let count = 0;
  for (let i = 0; i < tokens; i++) {
    if (trial.on) count++;
    trial.step(trial.on ? ms.on : ms.off);
  }
  return count;
}

describe("AbTrial", () => {
  const options = { window: 8, rounds: 2, hold: 100 };
  const TEST = 2 * options.window * options.rounds;

  it("tries both settings in turns, then keeps the faster one", () => {
    for (const [ms, pays] of [
      [{ on: 90, off: 100 }, true],
      [{ on: 110, off: 100 }, false],
      [{ on: 99.5, off: 100 }, false], // half a percent is not worth the memory
    ] as const) {
      const trial = new AbTrial(options);
      expect(trial.pays).toBe(null);
      expect(pass(trial, TEST, ms)).toBe(TEST / 2);
      expect(trial.pays).toBe(pays);
      expect(pass(trial, options.hold, ms)).toBe(pays ? options.hold : 0);
    }
  });

  it("repeats the trial, and follows a change", () => {
    const trial = new AbTrial(options);
    pass(trial, TEST + options.hold, { on: 90, off: 100 });
    expect(pass(trial, TEST, { on: 120, off: 100 })).toBe(TEST / 2);
    expect(trial.pays).toBe(false);
    expect(pass(trial, options.hold, { on: 120, off: 100 })).toBe(0);
    expect(pass(trial, 1, { on: 120, off: 100 })).toBe(0); // the next trial begins without
    pass(trial, TEST, { on: 80, off: 100 });
    expect(trial.pays).toBe(true);
  });

  it("repeats the trial less often after the same result, at most eight times as seldom", () => {
    const trial = new AbTrial(options);
    const held: number[] = [];
    for (let i = 0; i < 6; i++) {
      pass(trial, TEST, { on: 90, off: 100 });
      let tokens = 0;
      while (trial.on) {
        trial.step(90);
        tokens++;
      }
      held.push(tokens / options.hold);
    }
    expect(held).toEqual([1, 2, 4, 8, 8, 8]);
  });

  it("can decide in four tokens, holds what is remembered first, and a limit of its own", () => {
    const short = { window: 1, settling: 0, rounds: 2, hold: 10, longest: 15 };
    const trial = new AbTrial({ ...short, remembered: true });
    const ms = { on: 90, off: 100 };
    expect([trial.on, trial.pays, trial.deciding]).toEqual([true, true, false]);
    expect(pass(trial, 10, ms)).toBe(10);
    expect(pass(trial, 4, ms)).toBe(2);
    expect(pass(trial, 15, ms)).toBe(15); // twice as long would be 20
    expect(trial.on).toBe(false);
    const fresh = new AbTrial(short);
    expect(pass(fresh, 4, ms)).toBe(2);
    expect(fresh.pays).toBe(true);
  });

  it.each([
    ["the option on", true],
    ["the option off", false],
  ])("is not misled by steps with %s that missed more experts by chance", (_, worse) => {
    const trial = new AbTrial({ window: 12, rounds: 3, hold: 100 });
    for (let i = 0; i < 72; i++) {
      const missing = 4 + (i % 5) + (trial.on === worse ? 2 : 0);
      trial.step((worse ? 90 : 100) + 20 * missing + (trial.on ? 0 : worse ? 10 : -10), { missing });
    }
    expect(trial.pays).toBe(worse);
  });

  it.each([
    { of: "tokens alike", on: 105, off: 100, missing: [10, 10, 10, 10], pays: true }, // may cost a tenth
    { of: "tokens alike, a tenth and more", on: 115, off: 100, missing: [10, 10, 10, 10], pays: false },
    { of: "more missing experts where it is on", on: 130, off: 100, missing: [10, 13, 10, 13], pays: true },
    { of: "fewer there", on: 100, off: 100, missing: [13, 10, 13, 10], pays: false },
    { of: "none missing", on: 100, off: 100, missing: [0, 0, 0, 0], pays: true },
  ])("decides in four tokens by the time of a missing expert: $of", ({ on, off, missing, pays }) => {
    const trial = new AbTrial({ window: 1, settling: 0, rounds: 2, gain: -0.1, proportional: true });
    for (const count of missing) trial.step(trial.on ? on : off, { missing: count });
    expect(trial.pays).toBe(pays);
  });

  it("compares steps of as many rows, and is repeated where there are none", () => {
    const trial = new AbTrial({ window: 6, settling: 0, rounds: 2, hold: 100 });
    for (let i = 0; i < 24; i++) trial.step(trial.on ? 50 : 100, { rows: trial.on ? 1 : 4 });
    expect([trial.pays, trial.deciding]).toEqual([null, true]);
    // With drafts no step may have as many rows as the one before.
    for (let i = 0; i < 24; i++) trial.step((trial.on ? 90 : 100) * (1 + (i % 2)), { rows: 1 + (i % 2) });
    expect(trial.pays).toBe(true);
  });

  it("is not misled by a few slow tokens, nor by those that profit from the turn before", () => {
    const trial = new AbTrial({ window: 12, rounds: 3, hold: 100 });
    for (let i = 0; i < 72; i++) {
      const first = i % 12 < 2;
      const slow = i === 17;
      trial.step(slow ? 5000 : first ? (trial.on ? 100 : 50) : trial.on ? 90 : 100);
    }
    expect(trial.pays).toBe(true);
  });
});
