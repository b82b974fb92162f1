// Slots of states: who has them, which checkpoints stay, and what is given up first.

import { describe, expect, it } from "vitest";
import type { StateStore } from "../../src/backend/recurrent.ts";
import { Claim } from "../../src/engine/claim.ts";
import { States } from "../../src/engine/states.ts";

/** A store whose slots hold a word each. */
function storeOf(slots: number) {
  const held: string[] = Array<string>(slots).fill("");
  const store: StateStore = {
    ...{ slots, slotBytes: 4 },
    reserve: async () => {},
    copy(from, to) {
      held[to] = held[from]!;
    },
    read: async () => new Uint8Array(4),
    write: async () => {},
    close() {},
  };
  return { store, held };
}

/** A sequence whose states, `word`, are at a position. */
function sequence(states: States, held: string[], word: string, position: number): Claim {
  const claim = new Claim();
  expect(states.take(claim)).toBe(true);
  held[claim.state!.slot] = word;
  claim.reached(position);
  return claim;
}

describe("states", () => {
  it("go to a sequence by a copy of a checkpoint", () => {
    const { store, held } = storeOf(4);
    const states = new States(store);
    const one = sequence(states, held, "one", 32);
    states.keep(one, 7, true);
    held[one.state!.slot] = "further";
    const other = new Claim();
    expect([states.has(7), states.load(other, 7, 32), states.load(new Claim(), 8, 32)]).toEqual([true, true, false]);
    expect([held[other.state!.slot], other.state!.position]).toEqual(["one", 32]);
    states.forget(7);
    expect([states.has(7), states.load(other, 7, 32)]).toEqual([false, false]);
  });

  it("of a sequence that goes on replace its last checkpoint, but for those that are to be kept", () => {
    const { store, held } = storeOf(6);
    const states = new States(store);
    const one = sequence(states, held, "one", 32);
    states.keep(one, 1, true); // the end of a prompt
    for (const [block, position] of [
      [2, 64],
      [3, 96],
      [4, 1024],
      [5, 1056],
      [6, 1088],
    ] as const) {
      one.reached(position);
      states.keep(one, block, false);
    }
    expect([1, 2, 3, 4, 5, 6].filter((block) => states.has(block))).toEqual([1, 4, 6]);
  });

  it("are not kept where a step that failed has left them unknown", () => {
    const { store, held } = storeOf(3);
    const states = new States(store);
    const one = sequence(states, held, "one", 32);
    one.stepping(32);
    states.keep(one, 1, true);
    expect([states.has(1), one.whole]).toEqual([false, false]);
    expect(() => one.stepping(32)).toThrow("a step at position 32 of a sequence whose states are at null");
  });

  it("give up the checkpoint that was used least recently, and never a sequence's", () => {
    const { store, held } = storeOf(3);
    const states = new States(store);
    const one = sequence(states, held, "one", 32);
    states.keep(one, 1, true);
    states.keep(one, 2, true);
    const other = new Claim();
    expect(states.load(other, 1, 32)).toBe(true); // and 2 gave its place
    expect([states.has(1), states.has(2), states.available]).toEqual([true, false, true]);
    const third = sequence(states, held, "third", 64);
    expect([states.has(1), states.available, states.take(new Claim())]).toEqual([false, false, false]);
    states.keep(third, 3, true); // no place
    expect(states.has(3)).toBe(false);
    states.release(one);
    expect([one.state, states.available, states.take(new Claim())]).toEqual([null, true, true]);
  });
});
