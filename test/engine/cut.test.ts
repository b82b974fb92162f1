// A long step on the CPU is interrupted in its middle: by those who leave, by close(), and by
// whatever else the event loop has.

import { describe, expect, it } from "vitest";
import { open } from "../../src/index.ts";
import { inRepo } from "../support/fixtures.ts";
import { collect } from "../support/pieces.ts";

const ids = Array.from({ length: 1800 }, (_, i) => (i === 0 ? 1 : 3 + ((31 * i) % 4000)));
const greedy = { temperature: 0, maxTokens: 5, ignoreEos: true };
const openTales = () =>
  open(inRepo("models/tales"), { backend: "cpu", weights: "q4", threads: 2, chunk: 2048, context: 2048 });

describe("a prompt that is one step on the CPU", () => {
  it("lets the event loop run, and is thrown away when its only reader leaves: the next answer is what it would be", async () => {
    const model = await openTales();
    const session = model.session();
    const abort = new AbortController();
    let answered = false;
    const left = collect(session.generate(ids, { ...greedy, signal: abort.signal })).finally(() => {
      answered = true;
    });
    left.catch(() => {});
    let turns = 0;
    const count = (): void => {
      turns++;
      if (!answered) setImmediate(count);
    };
    setImmediate(count);
    // the step has begun by then
    while (turns < 4) await new Promise((resolve) => setImmediate(resolve));
    expect(answered).toBe(false);
    abort.abort(new Error("left"));
    await expect(left).rejects.toThrow("left");
    expect(session.tokens).toEqual([]);
    const again = await collect(session.generate(ids, greedy));
    const fresh = await openTales();
    expect(again.ids).toEqual((await collect(fresh.session().generate(ids, greedy))).ids);
    await fresh.close();
    await model.close();
  });

  it("is cut by close()", async () => {
    const model = await openTales();
    const waits = collect(model.session().generate(ids, greedy));
    waits.catch(() => {});
    for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
    await model.close();
    await expect(waits).rejects.toThrow(/closed/);
  });
});
