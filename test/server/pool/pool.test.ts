import { describe, expect, it } from "vitest";
import { BusyError, MemoryError, WeightsError } from "../../../src/errors.ts";
import { type Asked, type FakePool, fakePool } from "./fake_pool.ts";

/** A pool in which `id` is loaded, by a load of `ms`. */
async function with_(pool: FakePool, id: string, ms = 0): Promise<FakePool> {
  const first = pool.ask(id);
  await pool.turn();
  pool.clock.pass(ms);
  await pool.load(id);
  expect(first.lease?.model).toBe(id);
  await pool.end(first);
  return pool;
}

describe("loading", () => {
  it("begins with the first request; all that wait share it; later ones have the model at once", async () => {
    const { ask, turn, load, models, pool, events } = fakePool({ a: 10 }, 10);
    expect(pool.status("a")).toMatchObject({ phase: "unloaded", need: null });
    const asked = [ask("a"), ask("a"), ask("a")];
    await turn();
    models.a!.progress(0.25);
    expect(pool.status("a")).toMatchObject({ phase: "loading", progress: 0.25, waiting: 3 });
    await load("a");
    expect(asked.map(({ lease }) => lease?.model)).toEqual(["a", "a", "a"]);
    expect(pool.lease("a")).not.toBeInstanceOf(Promise);
    expect(pool.status("a")).toMatchObject({ phase: "ready", held: 4, waiting: 0, model: "a" });
    expect(models.a!.loads).toBe(1);
    expect(events).toEqual(["loading a", "loaded a"]);
  });

  it("two models that fit together are loaded at the same time", async () => {
    const { ask, turn, there } = fakePool({ a: 5, b: 5 }, 10);
    ask("a");
    ask("b");
    await turn();
    expect(there()).toEqual(["a", "b"]);
  });

  it("a failure is told to all that wait, not tried again for a second, then by the next request", async () => {
    const { ask, turn, load, models, pool, clock, events } = fakePool({ a: 10 }, 10);
    const asked = [ask("a"), ask("a")];
    await turn();
    const error = new WeightsError("a/config.json: wrong");
    await load("a", error);
    expect(asked.map((one) => one.error)).toEqual([error, error]);
    expect(pool.status("a")).toMatchObject({ phase: "failed", error });
    clock.pass(999);
    expect(ask("a").error).toBe(error);
    expect(models.a!.loads).toBe(1);
    clock.pass(1);
    const again = ask("a");
    await turn();
    expect(pool.status("a")).toMatchObject({ phase: "loading", error: undefined });
    await load("a");
    expect(again.lease?.model).toBe("a");
    expect(events).toEqual(["loading a", "failed a", "loading a", "loaded a"]);
  });

  it("a model that cannot be measured fails; others are not unloaded for it", async () => {
    const { ask, turn, models, there, pool } = await with_(fakePool({ a: 10, b: 10 }, 10), "a");
    models.b!.measured = new WeightsError("b/config.json: wrong");
    const asked = ask("b");
    await turn();
    expect(asked.error).toBe(models.b!.measured);
    expect(pool.status("b").phase).toBe("failed");
    expect(there()).toEqual(["a"]);
  });

  it("a model that exceeds the budget, or what pinned models leave of it, is refused at once", async () => {
    const pool = fakePool({ a: 11, p: { ram: 6, pinned: true }, b: 5 }, 10);
    const [large] = [pool.ask("a"), pool.ask("p")];
    await pool.turn();
    expect(large!.error).toEqual(new MemoryError("a needs 11, there are 10"));
    await pool.load("p");
    const second = pool.ask("b");
    await pool.turn();
    expect(second.error).toEqual(new MemoryError("b needs 5, there are 4"));
    expect(pool.there()).toEqual(["p"]);
  });

  it("goes on if all that waited have left: they come again", async () => {
    const { ask, turn, load, pool } = fakePool({ a: 10 }, 10);
    const asked = ask("a");
    await turn();
    asked.controller.abort(new Error("left"));
    await turn();
    expect(asked.error).toEqual(new Error("left"));
    await load("a");
    expect(pool.status("a")).toMatchObject({ phase: "ready", held: 0 });
  });

  it("a bounded number of requests wait", async () => {
    const { ask, turn } = fakePool({ a: 10 }, 10, { mostWaiting: 2 });
    const asked = [ask("a"), ask("a"), ask("a")];
    await turn();
    expect(asked.map(({ error }) => error)).toEqual([null, null, expect.any(BusyError)]);
  });
});

describe("unloading", () => {
  it("the least recently used idle model leaves, and only as many as must", async () => {
    const pool = fakePool({ a: 4, b: 3, c: 3, d: 3, e: 6 }, 10);
    for (const id of ["a", "b", "c"]) {
      pool.clock.pass(10);
      await with_(pool, id);
    }
    pool.clock.pass(10);
    await pool.end(pool.ask("b")); // now a, c, b
    pool.ask("d");
    await pool.turn();
    expect(pool.events.at(-1)).toBe("unloading a");
    await pool.unload("a");
    await pool.load("d");
    // c alone would not do for 6 beside d, which is held; b must go too.
    pool.ask("e");
    await pool.turn();
    expect(pool.events.slice(-2).sort()).toEqual(["unloading b", "unloading c"]);
  });

  it("a large model makes enough room by itself: a small one that was used longer ago stays", async () => {
    const pool = fakePool({ small: 1, large: 9, other: 9 }, 10);
    await with_(pool, "small");
    pool.clock.pass(1);
    await with_(pool, "large");
    pool.ask("other");
    await pool.turn();
    await pool.unload("large");
    expect(pool.there()).toEqual(["small", "other"]);
  });

  it("both kinds of memory count", async () => {
    const pool = fakePool(
      { a: { ram: 9, gpu: 1 }, b: { ram: 1, gpu: 9 }, c: { ram: 1, gpu: 5 } },
      { ram: 20, gpu: 10 },
    );
    await with_(pool, "a");
    await with_(pool, "b");
    pool.ask("c");
    await pool.turn();
    await pool.unload("b");
    expect(pool.there()).toEqual(["a", "c"]);
  });

  it("one that is answering never leaves before its answers end, and takes no more requests", async () => {
    const pool = await with_(fakePool({ a: 10, b: 10 }, 10), "a");
    const [one, two] = [pool.ask("a"), pool.ask("a")];
    const other = pool.ask("b");
    await pool.turn();
    const late = pool.ask("a");
    await pool.turn();
    expect([late.waits, pool.there()]).toEqual([true, ["a"]]);
    await pool.end(one);
    expect(pool.models.a!.unloading).toBeNull();
    await pool.end(two);
    expect(pool.models.a!.unloading).not.toBeNull();
    expect(pool.models.b!.loading).toBeNull();
    await pool.unload("a");
    await pool.load("b");
    expect(other.lease?.model).toBe("b");
    // The late one has its turn when b's answer ends.
    await pool.end(other);
    await pool.unload("b");
    await pool.load("a");
    expect(late.lease?.model).toBe("a");
  });

  it("takes requests again if those that wanted its room have left", async () => {
    const pool = await with_(fakePool({ a: 10, b: 10 }, 10), "a");
    pool.ask("a");
    const other = pool.ask("b");
    await pool.turn();
    const late = pool.ask("a");
    await pool.turn();
    expect(late.waits).toBe(true);
    other.controller.abort();
    await pool.turn();
    expect(late.lease?.model).toBe("a");
    expect(pool.clock.timers.size).toBe(0);
  });

  it("one that is being unloaded is loaded again for a request that comes meanwhile", async () => {
    const pool = await with_(fakePool({ a: 10, b: 10 }, 10), "a");
    const other = pool.ask("b");
    await pool.turn();
    const late = pool.ask("a");
    await pool.unload("a");
    await pool.load("b");
    await pool.end(other);
    await pool.unload("b");
    await pool.load("a");
    expect(late.lease?.model).toBe("a");
  });

  it("a turn lasts as long as the load took, while requests come", async () => {
    const pool = await with_(fakePool({ a: 10, b: 10 }, 10), "a", 5000);
    let held = pool.ask("a");
    pool.ask("b");
    await pool.turn();
    for (let i = 0; i < 4; i++) {
      pool.clock.pass(1000);
      const next = pool.ask("a");
      expect(next.lease?.model).toBe("a");
      await pool.end(held);
      held = next;
    }
    pool.clock.pass(1000);
    expect(pool.ask("a").waits).toBe(true);
    await pool.end(held);
    expect(pool.models.a!.unloading).not.toBeNull();
  });

  it("an idle model has no turn", async () => {
    const pool = await with_(fakePool({ a: 10, b: 10 }, 10), "a", 5000);
    pool.ask("b");
    await pool.turn();
    expect(pool.models.a!.unloading).not.toBeNull();
  });

  it("a pinned model stays, whatever comes", async () => {
    const pool = await with_(fakePool({ p: { ram: 5, pinned: true }, a: 5, b: 5 }, 10, { idleMs: 10 }), "p");
    await with_(pool, "a");
    pool.ask("b");
    await pool.turn();
    await pool.unload("a");
    pool.pool.keepFor("p", 0);
    pool.clock.pass(1e6);
    await pool.turn();
    expect(pool.there()).toEqual(["p", "b"]);
  });
});

describe("order", () => {
  it("requests for models in turn are gathered: A A A, then B B B", async () => {
    const pool = await with_(fakePool({ a: 10, b: 10 }, 10), "a");
    const held = pool.ask("a");
    const asked: Asked[] = [];
    for (const id of ["b", "a", "b", "a", "b"]) {
      asked.push(pool.ask(id));
      await pool.turn();
    }
    await pool.end(held);
    await pool.unload("a");
    await pool.load("b");
    expect(asked.map(({ lease }) => lease?.model)).toEqual(["b", undefined, "b", undefined, "b"]);
    for (const one of asked) if (one.lease) await pool.end(one);
    await pool.unload("b");
    await pool.load("a");
    expect(asked.map(({ waits }) => waits)).toEqual([false, false, false, false, false]);
    expect(pool.models.a!.loads + pool.models.b!.loads).toBe(3);
  });

  it("an endless stream of requests for the loaded model does not keep another waiting", async () => {
    const pool = await with_(fakePool({ a: 10, b: 10 }, 10), "a");
    let held = [pool.ask("a"), pool.ask("a")];
    const other = pool.ask("b");
    for (let round = 0; round < 3; round++) {
      const next = [pool.ask("a"), pool.ask("a")];
      for (const one of held) if (one.lease) await pool.end(one);
      held = next;
    }
    await pool.unload("a");
    await pool.load("b");
    expect(other.lease?.model).toBe("b");
  });

  it("a row of small models does not keep a large one waiting", async () => {
    const pool = fakePool({ large: 10, s: 3, t: 3, u: 3 }, 10);
    await with_(pool, "s");
    const held = pool.ask("s");
    const large = pool.ask("large");
    await pool.turn();
    const others = [pool.ask("t"), pool.ask("u")]; // there is room for them, but it is the large one's
    await pool.turn();
    expect(pool.there()).toEqual(["s"]);
    await pool.end(held);
    await pool.unload("s");
    await pool.load("large");
    expect([large, ...others].map(({ waits }) => waits)).toEqual([false, true, true]);
  });

  it("nor while it waits for the end of a turn", async () => {
    const pool = await with_(fakePool({ large: 10, s: 3, t: 3 }, 10), "s", 5000);
    const held = pool.ask("s");
    pool.ask("large");
    await pool.turn();
    pool.ask("t"); // its turn would be another one to wait for
    await pool.turn();
    expect(pool.there()).toEqual(["s"]);
    pool.clock.pass(5000);
    await pool.end(held);
    await pool.unload("s");
    expect(pool.there()).toEqual(["large"]);
  });

  it("a model is loaded past one that waits for room if both fit", async () => {
    const pool = fakePool({ a: 5, b: 6, c: 4 }, 10);
    await with_(pool, "a");
    pool.ask("a");
    pool.ask("b");
    await pool.turn();
    pool.ask("c");
    await pool.turn();
    expect(pool.there()).toEqual(["a", "c"]);
  });
});

describe("idle models", () => {
  it("are unloaded after a time without requests", async () => {
    const pool = await with_(fakePool({ a: 10 }, 10, { idleMs: 1000 }), "a");
    pool.clock.pass(600);
    const asked = pool.ask("a");
    pool.clock.pass(5000);
    expect(pool.pool.status("a").expires).toBeNull();
    await pool.end(asked);
    expect(pool.pool.status("a").expires).toBe(pool.clock.now() + 1000);
    pool.clock.pass(999);
    expect(pool.models.a!.unloading).toBeNull();
    pool.clock.pass(1);
    await pool.unload("a");
    expect(pool.there()).toEqual([]);
    expect(pool.clock.timers.size).toBe(0);
  });

  it.each(Array.from({ length: 8 }, (_, i) => i))("after %i ms, on a clock that moves on meanwhile", async (idleMs) => {
    const pool = await with_(fakePool({ a: 10 }, 10, { idleMs }, 1), "a");
    pool.clock.pass(1000);
    expect(pool.models.a!.unloading).not.toBeNull();
  });

  it.each<[string, number, number | null]>([
    ["at once", 0, 0],
    ["after another time", 50, 50],
    ["never", Number.POSITIVE_INFINITY, null],
  ])("keepFor: %s", async (_, ms, after) => {
    const pool = await with_(fakePool({ a: 10 }, 10, { idleMs: 1000 }), "a");
    const asked = pool.ask("a");
    pool.pool.keepFor("a", ms);
    await pool.end(asked);
    if (after !== null && after > 0) {
      pool.clock.pass(after - 1);
      expect(pool.models.a!.unloading).toBeNull();
      pool.clock.pass(1);
    } else pool.clock.pass(after ?? 1e9);
    expect(pool.models.a!.unloading === null).toBe(after === null);
  });
});

describe("close", () => {
  it("rejects what waits, stops loading, unloads the rest", async () => {
    const pool = await with_(fakePool({ a: 5, b: 5, c: 5 }, 10, { idleMs: 1000 }), "a");
    const held = pool.ask("a");
    const waiting = [pool.ask("b"), pool.ask("c")];
    await pool.turn();
    const error = new Error("the server is closing");
    let closed = false;
    const end = pool.pool.close(error).then(() => {
      closed = true;
    });
    await pool.turn();
    expect(waiting.map((one) => one.error)).toEqual([error, error]);
    expect([closed, pool.there()]).toEqual([false, ["a"]]);
    await pool.unload("a");
    await end;
    await pool.end(held);
    expect(() => pool.pool.lease("a")).toThrow(error);
    expect(pool.clock.timers.size).toBe(0);
  });
});
