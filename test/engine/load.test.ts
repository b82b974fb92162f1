// Many clients at once over the fake backend: each gets the tokens that it gets alone, and one that
// stops is gone within a step.

import { describe, expect, it } from "vitest";
import { DEPTH } from "../../src/engine/depth.ts";
import { createQueue, inTurns, type Turn } from "../../src/engine/queue.ts";
import { BusyError } from "../../src/errors.ts";
import { expectIdle, type FakeOptions, fakeBackend, greedy, on, settle } from "../support/fake_backend.ts";
import { collect } from "../support/pieces.ts";
import { generator } from "../support/random.ts";

/** Panes of five positions and what is ahead; the second budget has no room for five clients. */
const WINDOWS = { window: 5 };

describe.each<[string, boolean, FakeOptions]>([
  ["a backend that chooses", true, {}],
  ["a backend that gives logits", false, {}],
  ["a backend that chooses, with windows", true, WINDOWS],
  ["a backend that gives logits, with windows", false, { ...WINDOWS, blocks: 60 }],
  ["a backend that chooses, with windows in all layers", true, { ...WINDOWS, blockBytes: 0, blocks: 40 }],
])("on %s", (_, chooses, options) => {
  it.each([1, 2, 3, 4])(
    "clients that come, share beginnings, leave and wait are never mixed up (seed %i)",
    async (seed) => {
      const random = generator(seed);
      const whole = (n: number) => Math.floor(n * random());
      const backend = fakeBackend({
        chooses,
        blocks: 75, // five clients with 12 blocks each, and what little they may reach ahead
        ...options,
        late: () => settle(whole(8)),
        undecided: (history) => history.length % 11 === seed,
      });
      const queue = createQueue({ parallel: 5, queue: 12 });
      const systems = [8, 13, 20].map((length) => Array.from({ length }, () => whole(16)));
      const outcomes = { ended: 0, left: 0, refused: 0, cached: 0 };

      async function client(): Promise<void> {
        const prompt = [...systems[whole(3)]!, ...Array.from({ length: 1 + whole(12) }, () => whole(3))];
        const count = 1 + whole(14);
        const abort = new AbortController();
        const leaves = random();
        if (leaves < 0.2) void settle(whole(60)).then(() => abort.abort(new Error("left")));
        const patience = leaves > 0.85 ? whole(count) : count; // some read a little and turn away
        const session = backend.session();
        const ids: number[] = [];
        let turn: Turn | null = null;
        try {
          turn = await queue.enter(abort.signal, prompt.length);
          const options = { ...on(count), signal: abort.signal };
          for await (const piece of inTurns(session.generate(prompt, options), turn, abort.signal)) {
            ids.push(...piece.ids);
            if (piece.finish) outcomes.cached += piece.finish.cachedTokens;
            if (random() < 0.2) await settle(whole(6)); // slow readers
            if (ids.length > patience) break;
          }
          if (patience === count) expect(ids).toHaveLength(count);
          outcomes.ended++;
        } catch (error) {
          if (error instanceof BusyError) outcomes.refused++;
          else if ((error as Error).message === "left") outcomes.left++;
          else throw error;
        } finally {
          session.close();
          turn?.leave();
        }
        expect(ids).toEqual(greedy(prompt, ids.length));
      }

      const clients: Promise<void>[] = [];
      for (let n = 0; n < 120; n++) {
        clients.push(client());
        await settle(whole(12));
      }
      await Promise.all(clients);
      expect([queue.running, queue.queued]).toEqual([0, 0]);
      await expectIdle(backend, 0);
      expect(outcomes.ended).toBeGreaterThan(40);
      expect(outcomes.left).toBeGreaterThan(5);
      expect(outcomes.cached).toBeGreaterThan(200);
    },
  );

  it("a client that stops frees its memory within a step, and the others are not affected", async () => {
    const backend = fakeBackend({ chooses, ...options, blocks: 1000 });
    const abort = new AbortController();
    const texts = [
      [1, 2, 3],
      [4, 5],
      [6, 7, 8, 9, 10],
    ];
    const sessions = texts.map(() => backend.session());
    const stay = [0, 1].map((i) => collect(sessions[i]!.generate(texts[i]!, on(60))));
    const reading = sessions[2]!.generate(texts[2]!, { ...on(60), signal: abort.signal });
    for (let i = 0; i < 9; i++) await reading.next();
    const waits = reading.next(); // a step may run for it
    const { length } = backend.asked;
    abort.abort(new Error("left"));
    const read = async () => {
      await waits;
      for await (const _ of reading);
    };
    await expect(read()).rejects.toThrow("left");
    sessions[2]!.close();
    expect(backend.asked.length - length).toBeLessThanOrEqual(chooses ? DEPTH : 1);
    const { blocks, free, cached } = backend.pool.usage();
    const held = sessions.slice(0, 2).reduce((sum, { tokens }) => sum + Math.ceil(tokens.length / 4), 0);
    // the token under way may open a block
    if (!chooses) expect(blocks - free - cached).toBeLessThanOrEqual(held + 2);
    expect((await Promise.all(stay)).map(({ ids }) => ids)).toEqual([greedy(texts[0]!, 60), greedy(texts[1]!, 60)]);
    for (const session of sessions) session.close();
    await expectIdle(backend, 0);
  });

  it("a client that stops before its first step is not computed", async () => {
    const backend = fakeBackend({ chooses, ...options, blocks: 1000, maxTokens: 4 });
    const busy = collect(backend.session().generate([1, 2, 3], on(30)));
    await settle(5);
    const abort = new AbortController();
    const prompt = Array.from({ length: 40 }, (_, i) => (5 * i + 3) % 16);
    const session = backend.session();
    const left = collect(session.generate(prompt, { ...on(9), signal: abort.signal }));
    await settle(chooses ? 40 : 6); // some chunks of ten
    abort.abort(new Error("left"));
    const { length } = backend.asked;
    await expect(left).rejects.toThrow("left");
    session.close();
    await busy;
    const later = backend.asked.slice(length + 1); // one chunk may have been under way
    expect(later.filter(({ tokens }) => tokens.length > 2)).toEqual([]);
    await expectIdle(backend, 8); // of the one who stayed: 32 positions
  });
});
