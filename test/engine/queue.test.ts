// The queue: turns in order of arrival, a bound on who waits, and nobody forgotten or counted twice.

import { describe, expect, it } from "vitest";
import { createQueue } from "../../src/engine/queue.ts";
import { BusyError, RequestError } from "../../src/errors.ts";

/** Enters under a name; `began` collects the names in the order of their turns. */
function entrants(parallel: number, queue: number) {
  const turns = createQueue({ parallel, queue });
  const began: string[] = [];
  const enter = (name: string, signal?: AbortSignal): Promise<() => void> =>
    turns.enter(signal).then((leave) => {
      began.push(name);
      return leave;
    });
  return { turns, began, enter, counts: () => ({ running: turns.running, queued: turns.queued }) };
}

describe("the queue", () => {
  it("lets in as many as may run, then one for each that leaves, in order", async () => {
    const { began, enter, counts } = entrants(2, 3);
    const [a, b] = await Promise.all([enter("a"), enter("b")]);
    const rest = ["c", "d", "e"].map((name) => enter(name));
    expect(counts()).toEqual({ running: 2, queued: 3 });
    b();
    const c = await rest[0]!;
    expect(began).toEqual(["a", "b", "c"]);
    a();
    c();
    for (const leave of await Promise.all(rest.slice(1))) leave();
    expect(began).toEqual(["a", "b", "c", "d", "e"]);
    expect(counts()).toEqual({ running: 0, queued: 0 });
  });

  it("refuses at once who finds it full, and takes the next when there is room", async () => {
    const { enter, counts } = entrants(1, 1);
    const leave = await enter("a");
    const waits = enter("b");
    const refused = enter("c");
    await expect(refused).rejects.toThrow(BusyError);
    await expect(refused).rejects.toThrow(/1 answers are being computed and 1 requests wait/);
    leave();
    const last = await waits;
    const again = enter("d");
    expect(counts()).toEqual({ running: 1, queued: 1 });
    last();
    (await again)();
  });

  it("a turn that is ended twice is one", async () => {
    const { enter, counts } = entrants(1, 2);
    const leave = await enter("a");
    const [b, c] = [enter("b"), enter("c")];
    leave();
    leave();
    await b;
    expect(counts()).toEqual({ running: 1, queued: 1 });
    (await b)();
    (await c)();
  });

  it("who gives up while waiting leaves the others in their order", async () => {
    const { began, enter, counts } = entrants(1, 3);
    const leave = await enter("a");
    const controller = new AbortController();
    const reason = new Error("the client left");
    const [b, c] = [enter("b", controller.signal), enter("c")];
    controller.abort(reason);
    await expect(b).rejects.toBe(reason);
    expect(counts()).toEqual({ running: 1, queued: 1 });
    leave();
    (await c)();
    expect(began).toEqual(["a", "c"]);
  });

  it("an abort before it, or after the turn has begun, takes no turn away", async () => {
    const { enter, counts } = entrants(1, 1);
    await expect(enter("a", AbortSignal.abort(new Error("too late")))).rejects.toThrow("too late");
    const controller = new AbortController();
    const leave = await enter("b");
    const waits = enter("c", controller.signal);
    leave();
    const held = await waits;
    controller.abort();
    expect(counts()).toEqual({ running: 1, queued: 0 });
    held();
    expect(counts()).toEqual({ running: 0, queued: 0 });
  });

  it("closed, it refuses those who wait and who come; those who run leave as ever", async () => {
    const { turns, enter, counts } = entrants(1, 2);
    const leave = await enter("a");
    const waits = enter("b");
    turns.close();
    await expect(waits).rejects.toThrow(RequestError);
    await expect(enter("c")).rejects.toThrow("the model is closed");
    leave();
    expect(counts()).toEqual({ running: 0, queued: 0 });
  });
});
