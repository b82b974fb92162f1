// Routes of a running model are watched: they are those of a trace, and the tokens stay the same.

import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Batch, Ops } from "../../src/backend/ops.ts";
import { RouteWatch, type WatchedStep } from "../../src/engine/route_watch.ts";
import type { RouteStep } from "../../src/experts/trace.ts";
import { type Model, open } from "../../src/index.ts";
import type { Tensor } from "../../src/tensor/types.ts";
import { backends } from "../support/backends.ts";
import { inRepo } from "../support/fixtures.ts";
import { some } from "../support/some.ts";

const PROMPT = "Once upon a time there was a fox";
const NEW = 6;

async function written(model: Model): Promise<number[]> {
  const session = model.session();
  const ids: number[] = [];
  const options = { maxTokens: NEW, temperature: 0, ignoreEos: true };
  for await (const piece of session.generate(PROMPT, options)) ids.push(...piece.ids);
  session.close();
  return ids;
}

/** Lists of ids of each step, without what ran ahead of the end. */
const routesOf = (steps: readonly RouteStep[], count: number): number[][][] =>
  steps.slice(0, count).map(({ layers }) => layers.map((ids) => [...ids]));

describe("watched routes", () => {
  const cases = some(
    backends.flatMap((backend) => [
      { ...backend, slots: {} },
      { ...backend, slots: { expertSlots: 3 } },
    ]),
    1,
  );
  it.each(cases.map((one) => [one.name, Object.keys(one.slots).length > 0 ? "offloaded" : "resident", one] as const))(
    "on %s, %s, are those of a trace",
    async (_name, _where, { options, slots }) => {
      const opening = { ...options, ...slots, weights: "q8", context: 128, activations: "f32" } as const;
      const where = inRepo("models/tales");
      const traced: RouteStep[] = [];
      const tracing = await open(where, { ...opening, onRoutes: (step) => void traced.push(step) });
      const expected = await written(tracing);
      await tracing.close();
      const watched = await open(where, opening);
      const steps: WatchedStep[] = [];
      let closed = 0;
      const stop = watched.watchRoutes({
        step(step) {
          steps.push(step);
          throw new Error("a page's own failure");
        },
        closed: () => void closed++,
      });
      try {
        expect(await written(watched)).toEqual(expected);
        await expect.poll(() => steps.length).toBeGreaterThanOrEqual(traced.length);
        expect(routesOf(steps, traced.length)).toEqual(routesOf(traced, traced.length));
        expect(steps.every(({ ms }) => ms >= 0)).toBe(true);
        stop();
        const before = steps.length;
        expect(await written(watched)).toEqual(expected);
        expect(steps).toHaveLength(before);
        watched.watchRoutes({ step: () => {}, closed: () => void closed++ });
      } finally {
        await watched.close();
      }
      expect(closed).toBe(1);
    },
  );
});

describe("steps whose results arrive in another order", () => {
  it("are told in theirs, and none took less than no time", async () => {
    const watch = new RouteWatch({ choosing: null } as unknown as Ops, 0);
    const steps: WatchedStep[] = [];
    const told = new Promise<void>((resolve) => {
      watch.add({
        step(step) {
          if (steps.push(step) === 2) resolve();
        },
      });
    });
    const begin = (tokens: number) => {
      let end = (): void => {};
      const ends = new Promise<void>((resolve) => {
        end = resolve;
      });
      const batch = { tokens: new Uint32Array(tokens), tables: [] as number[][] } as unknown as Batch;
      const begun = watch.step(
        batch,
        async () => ({}) as Tensor,
        () => ends,
      );
      return { end: () => end(), begun };
    };
    const [first, second] = [begin(1), begin(2)];
    await Promise.all([first.begun, second.begun]);
    second.end();
    await sleep(5);
    first.end();
    await told;
    expect(steps.map(({ tokens }) => tokens)).toEqual([1, 2]);
    expect(steps[0]!.ms).toBeGreaterThan(0);
    expect(steps[1]!.ms).toBe(0);
  });
});
