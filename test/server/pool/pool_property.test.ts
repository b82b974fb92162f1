import fc from "fast-check";
import { expect, it } from "vitest";
import { type Asked, type FakePool, fakePool } from "./fake_pool.ts";

const SIZES = { a: 3, b: 4, c: 5, d: { ram: 8, gpu: 2 }, e: { ram: 2, gpu: 4 }, p: { ram: 2, pinned: true } };
const BUDGET = { ram: 10, gpu: 4 };
const IDS = Object.keys(SIZES);
const KINDS = ["ask", "ask", "ask", "end", "end", "leave", "load", "load", "fail", "unload", "pass", "keep"] as const;

/** What happens, and to which of those that it may happen to: the number modulo their count. */
type Step = readonly [what: (typeof KINDS)[number], which: number];

const anySteps: fc.Arbitrary<Step[]> = fc.array(fc.tuple(fc.constantFrom(...KINDS), fc.nat({ max: 1000 })), {
  maxLength: 80,
});

/** Whether the clock moves on while the pool looks at it. */
const creeps = fc.constantFrom(0, 0.3);

class Run {
  readonly pool: FakePool;
  /** Requests that wait, or hold a model. */
  asked: Asked[] = [];

  constructor(idleMs: number | undefined, creep: number) {
    this.pool = fakePool(SIZES, BUDGET, idleMs === undefined ? {} : { idleMs }, creep);
  }

  /** Idle models have been unloaded, if they are to be: time passes until nothing more happens. */
  async rest(): Promise<void> {
    for (let round = 0; round < 4; round++) {
      this.pool.clock.pass(1_000_000);
      await this.finish();
    }
  }

  async happen([what, which]: Step): Promise<void> {
    const models = Object.values(this.pool.models);
    const some = <T>(from: readonly T[]): T | undefined => from[which % Math.max(1, from.length)];
    switch (what) {
      case "ask":
        this.asked.push(this.pool.ask(some(IDS)!));
        break;
      case "end":
        this.end(some(this.asked.filter(({ lease }) => lease !== null)));
        break;
      case "leave":
        some(this.asked.filter(({ waits }) => waits))?.controller.abort();
        break;
      case "load":
        some(models.flatMap(({ loading }) => loading ?? []))?.resolve();
        break;
      case "fail":
        some(models.flatMap(({ loading }) => loading ?? []))?.reject(new Error("failed"));
        break;
      case "unload":
        some(models.flatMap(({ unloading }) => unloading ?? []))?.resolve();
        break;
      case "pass":
        this.pool.clock.pass(which);
        break;
      case "keep":
        this.pool.pool.keepFor(some(IDS)!, which % 3 === 0 ? 0 : which);
    }
    await this.pool.turn();
    this.asked = this.asked.filter(({ error }) => error === null);
    // What a request holds is there, and stays.
    for (const { id, lease } of this.asked) {
      const { loaded, unloading } = this.pool.models[id]!;
      if (lease && (!loaded || unloading)) this.pool.faults.push(`${id} is held and is not there`);
    }
    expect(this.pool.faults).toEqual([]);
  }

  end(one: Asked | undefined): void {
    one?.lease?.release();
    this.asked = this.asked.filter((other) => other !== one);
  }

  /** Whatever has begun comes to its end. */
  async finish(): Promise<void> {
    for (const { loading, unloading } of Object.values(this.pool.models)) {
      loading?.resolve();
      unloading?.resolve();
    }
    await this.pool.turn();
    for (const one of this.asked) if (one.lease) this.end(one);
    await this.pool.turn();
    expect(this.pool.faults).toEqual([]);
  }
}

it("any order of events: within the budget, held models stay, each is there once, all requests have their turn", async () => {
  await fc.assert(
    fc.asyncProperty(
      anySteps,
      fc.option(fc.nat({ max: 500 }), { nil: undefined }),
      creeps,
      async (steps, idleMs, creep) => {
        const run = new Run(idleMs, creep);
        for (const step of steps) await run.happen(step);
        // Each waiting model takes a few rounds at most: others leave, it is loaded.
        for (let round = 0; round < 4 * IDS.length && run.asked.length > 0; round++) {
          run.pool.clock.pass(1_000_000);
          await run.finish();
        }
        expect(run.asked).toEqual([]);
        await run.rest();
        const left = run.pool.there().filter((id) => !run.pool.models[id]!.pinned);
        // Without a time for idle models some stay, but none that a keepFor() set a time for.
        const kept = idleMs !== undefined ? left : left.filter((id) => run.pool.pool.status(id).expires !== null);
        expect(kept).toEqual([]);
        const closed = run.pool.pool.close(new Error("closing"));
        await run.finish();
        await closed;
        expect([run.pool.there(), run.pool.clock.timers.size]).toEqual([[], 0]);
      },
    ),
    { numRuns: 300 },
  );
});

it("a request has its turn however many others come for loaded models", async () => {
  await fc.assert(
    fc.asyncProperty(
      anySteps,
      fc.constantFrom(...IDS),
      fc.infiniteStream(fc.nat()),
      creeps,
      async (steps, id, picks, creep) => {
        const run = new Run(undefined, creep);
        for (const step of steps) await run.happen(step);
        const wanted = run.pool.ask(id);
        // Others come without end, and each answer takes one round.
        for (let round = 0; round < 4 * IDS.length && wanted.waits; round++) {
          for (let i = 0; i < 4; i++) run.asked.push(run.pool.ask(IDS[picks.next().value! % IDS.length]!));
          await run.finish();
          run.pool.clock.pass(100_000); // longer than any turn
        }
        // A model that has just failed is not tried again for a second.
        expect([wanted.waits, wanted.error === null || (wanted.error as Error).message === "failed"]).toEqual([
          false,
          true,
        ]);
      },
    ),
    { numRuns: 200 },
  );
});
