// The queue: order of arrival, its bounds, and those who leave it.

import { describe, expect, it } from "vitest";
import { createQueue } from "../../src/engine/queue.ts";
import { BusyError } from "../../src/errors.ts";
import { settle } from "../support/fake_backend.ts";
import { generator } from "../support/random.ts";

/** A queue, and work that lasts until it is let go. */
function line(parallel: number, queue: number) {
  const made = createQueue({ parallel, queue });
  const begun: string[] = [];
  const doors = new Map<string, () => void>();
  return {
    queue: made,
    begun,
    enter: (name: string, signal?: AbortSignal) =>
      made.enter(signal).then(async (turn) => {
        begun.push(name);
        await new Promise<void>((resolve) => doors.set(name, resolve));
        turn.leave();
        return name;
      }),
    finish: async (name: string) => {
      doors.get(name)!();
      await settle(3);
    },
  };
}

describe("a queue", () => {
  it("runs so many at once and the others in order of arrival", async () => {
    const { queue, begun, enter, finish } = line(2, 3);
    const all = ["a", "b", "c", "d", "e"].map((name) => enter(name));
    await settle(3);
    expect([begun.join(""), queue.running, queue.queued]).toEqual(["ab", 2, 3]);
    await finish("b");
    await finish("c");
    expect(begun.join("")).toBe("abcd");
    for (const name of ["a", "d", "e"]) await finish(name);
    expect(await Promise.all(all)).toEqual(["a", "b", "c", "d", "e"]);
    expect([queue.running, queue.queued]).toEqual([0, 0]);
  });

  it("refuses one more than may wait, at once and with the numbers", async () => {
    const { enter, finish } = line(1, 1);
    const kept = [enter("a"), enter("b")];
    await expect(enter("c")).rejects.toThrow(BusyError);
    await expect(enter("c")).rejects.toThrow(/1 answers are being computed and 1 requests wait/);
    await finish("a");
    kept.push(enter("d"));
    await finish("b");
    await finish("d");
    await Promise.all(kept);
  });

  it("ends an aborted request at once, and the next one takes its place", async () => {
    const { queue, begun, enter, finish } = line(1, 5);
    const abort = new AbortController();
    const [a, b, c] = [enter("a"), enter("b", abort.signal), enter("c")];
    await settle(3);
    abort.abort(new Error("left"));
    await expect(b).rejects.toThrow("left");
    expect(queue.queued).toBe(1);
    await finish("a");
    expect(begun.join("")).toBe("ac");
    await finish("c");
    await Promise.all([a, c]);
    await expect(enter("d", abort.signal)).rejects.toThrow("left");
    expect(queue.running).toBe(0);
  });

  it("refuses those who wait and who come when it is closed", async () => {
    const { queue, enter, finish } = line(1, 2);
    const [runs, waits] = [enter("a"), enter("b")];
    await settle(3);
    queue.close();
    await expect(waits).rejects.toThrow("closed");
    await expect(enter("c")).rejects.toThrow("closed");
    await finish("a");
    expect(await runs).toBe("a");
  });

  it("never runs more than its limit, and loses no place when requests start and end", async () => {
    const random = generator(5);
    const queue = createQueue({ parallel: 3, queue: 6 });
    let running = 0;
    let served = 0;
    const order: number[] = [];
    const arrive = async (n: number) => {
      const abort = new AbortController();
      if (random() < 0.3) void settle(Math.floor(20 * random())).then(() => abort.abort(new Error("left")));
      const waits = queue.running === 3 && queue.queued < 6;
      await queue
        .enter(abort.signal)
        .then(async (turn) => {
          expect(++running).toBeLessThanOrEqual(3);
          if (waits) order.push(n);
          await settle(Math.floor(10 * random()));
          running--;
          served++;
          turn.leave();
        })
        .catch((error: Error) => expect(error.message).toMatch(/left|try again/));
    };
    const all: Promise<void>[] = [];
    for (let n = 0; n < 300; n++) {
      all.push(arrive(n));
      await settle(Math.floor(4 * random()));
    }
    await Promise.all(all);
    expect([queue.running, queue.queued]).toEqual([0, 0]);
    expect(served).toBeGreaterThan(100);
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });
});
