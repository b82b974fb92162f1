import { describe, expect, it } from "vitest";
import { type Indexed, together } from "../../src/server/many.ts";
import { PATIENT } from "../support/patience.ts";

/** Answers of two events each; notes how many run at once, and which were left. */
function answers(count: number) {
  const log = { running: 0, most: 0, left: [] as number[] };
  const starts = Array.from(
    { length: count },
    (_, i) =>
      async function* () {
        log.most = Math.max(log.most, ++log.running);
        try {
          await Promise.resolve();
          yield `${i}a`;
          if (i === 3) throw new Error("the fourth failed");
          yield `${i}b`;
        } finally {
          log.running--;
          log.left.push(i);
        }
      },
  );
  return { log, starts };
}

describe("several answers to one request", () => {
  it.each([1, 2, 8])("%i at once: each whole, in its own order", async (atOnce) => {
    const { log, starts } = answers(3);
    const events: Indexed<string>[] = [];
    for await (const event of together(starts, atOnce)) events.push(event);
    for (let i = 0; i < 3; i++) {
      expect(events.filter(({ index }) => index === i).map(({ event }) => event)).toEqual([`${i}a`, `${i}b`]);
    }
    expect(log).toEqual({ running: 0, most: Math.min(3, atOnce), left: expect.any(Array) });
  });

  it("one that fails ends all, and those that wait never start", async () => {
    const { log, starts } = answers(8);
    const seen: string[] = [];
    const all = async (): Promise<void> => {
      for await (const { event } of together(starts, 2)) seen.push(event);
    };
    await expect(all()).rejects.toThrow("the fourth failed");
    await expect.poll(() => log.running, PATIENT).toBe(0);
    expect(Math.max(...log.left)).toBeLessThan(6);
  });

  it("leaving the iteration leaves every answer", async () => {
    const { log, starts } = answers(3);
    for await (const _ of together(starts, 3)) break;
    await expect.poll(() => log.left.length, PATIENT).toBe(3);
  });
});
