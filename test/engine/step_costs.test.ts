// What steps of a few tokens cost in terms of one of one token, as speculation is told it.

import { describe, expect, it } from "vitest";
import { Speculation } from "../../src/engine/speculation.ts";
import { StepCosts } from "../../src/engine/step_costs.ts";
import { fakeBackend, logitsAfter, on, VOCAB } from "../support/fake_backend.ts";
import { collect } from "../support/pieces.ts";

describe("the cost of a step", () => {
  it("one that was slow a few times is forgotten, so that it is tried again", () => {
    const step = new StepCosts();
    for (let i = 0; i < 5; i++) step.note(1, 10);
    for (let i = 0; i < 3; i++) step.note(4, 1000); // disturbed
    expect(step.relative(4)).toBe(100);
    for (let i = 0; i < 200; i++) step.note(1, 10);
    expect(step.relative(4)).toBeLessThan(3);
  });

  it("the first of a size, for which code is compiled, counts less than what other sizes say", () => {
    const step = new StepCosts();
    for (let i = 0; i < 5; i++) step.note(1, 10);
    for (let i = 0; i < 5; i++) step.note(4, 20);
    expect(step.relative(6)).toBeCloseTo(2.6, 9);
    step.note(6, 60);
    expect(step.relative(6)).toBeCloseTo(2.6, 9);
    for (let i = 0; i < 4; i++) step.note(6, 25);
    expect(step.relative(6)).toBe(2.5);
  });

  it.each([
    ["one that was seen", 4, 2],
    ["one between two that were seen, in proportion", 3, 1.5],
    ["one beyond them, by what a token is taken to cost", 8, 4.1],
    ["one token", 1, 1],
  ])("of %s", (_, tokens, cost) => {
    const step = new StepCosts();
    step.note(5, 1); // before any step of one: says nothing
    step.note(1, 10);
    for (let i = 0; i < 3; i++) {
      step.note(4, 20);
      step.note(6, 35);
      step.note(2, 9); // no step costs less than one of one
    }
    expect(step.relative(2)).toBe(1);
    expect(step.relative(tokens)).toBeCloseTo(cost, 9);
  });

  it("is in terms of the steps of its own time: on other texts other experts are missing", () => {
    const step = new StepCosts();
    for (let i = 0; i < 7; i++) step.note(1, 10);
    for (let i = 0; i < 7; i++) step.note(8, 20);
    for (let i = 0; i < 7; i++) step.note(1, 30);
    expect(step.relative(8)).toBe(2);
  });

  it.each([
    ["cannot choose tokens", false],
    ["can, where log probabilities leave it to the host", true],
  ])("is noted once a step, of a backend that %s", async (_, chooses) => {
    const noted: number[] = [];
    class Noted extends StepCosts {
      override note(tokens: number): void {
        noted.push(tokens);
      }
      override get one(): number {
        return 1;
      }
      override relative(): number {
        return 1;
      }
    }
    const backend = fakeBackend({
      chooses,
      maxTokens: 16,
      speculate: () => new Speculation(VOCAB, new Noted()),
      logits(history) {
        const logits = logitsAfter(history);
        const before = history[history.length - 5];
        if (before !== undefined && logits[0]! % 8 !== 0) logits[before]! += 2000;
        return logits;
      },
    });
    await collect(backend.session().generate([1, 2, 3, 4, 5, 1, 2, 3], { ...on(50), ...(chooses && { logprobs: 1 }) }));
    expect(noted).toEqual(backend.asked.slice(1).map(({ tokens }) => tokens.length)); // but the prompt's
    expect(Math.max(...noted)).toBeGreaterThan(1);
  });
});
