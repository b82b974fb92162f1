import { describe, expect, it } from "vitest";
import type { Batch, KvStore } from "../../src/backend/ops.ts";
import { createBlockPool } from "../../src/engine/kv.ts";
import { createRoom } from "../../src/engine/room.ts";
import { createStepper } from "../../src/engine/stepper.ts";
import { MemoryError, RequestError } from "../../src/errors.ts";
import { admitted as sequence, settle } from "../support/fake_backend.ts";

/** A store of blocks of 4 positions that only counts. */
function fakeStore(): KvStore & { reserved: number[] } {
  const reserved: number[] = [];
  let blocks = 0;
  return {
    blockSize: 4,
    precision: "f32",
    blockBytes: 100,
    reserved,
    get blocks() {
      return blocks;
    },
    async reserve(n) {
      reserved.push(n);
      blocks = Math.max(blocks, n);
    },
    readBlock: async () => new Uint8Array(0),
    writeBlock: async () => {},
    close() {},
  };
}

/** A stepper whose logits [R, 2] are (token, position), so that every answer tells whose it is. */
function fake(maxTokens = 8, maxBytes = 10_000, vocab = 2, lasts = false) {
  const batches: Batch[] = [];
  let fail: Error | null = null;
  let go = (): void => {};
  const store = fakeStore();
  const pool = createBlockPool(store, maxBytes);
  const run = async (batch: Batch): Promise<Float32Array> => {
    batches.push(batch);
    if (fail) throw fail;
    const { signal } = batch;
    if (lasts)
      await new Promise<void>((resolve, reject) => {
        go = resolve;
        signal!.addEventListener("abort", () => reject(signal!.reason));
      });
    return Float32Array.from([...batch.outputs].flatMap((row) => [batch.tokens[row]!, batch.positions[row]!]));
  };
  const stepper = createStepper({ logits: run }, createRoom(pool), maxTokens, vocab);
  const settled = () => settle(4);
  return { stepper, batches, store, pool, settled, go: () => go(), failWith: (error: Error | null) => (fail = error) };
}

describe("stepper", () => {
  it("answers with the rows asked for", async () => {
    const { stepper } = fake();
    const s = sequence();
    expect([...(await stepper.step(s, [5, 6, 7], "last"))]).toEqual([7, 2]);
    expect([...(await stepper.step(s, [8, 9], "all"))]).toEqual([8, 3, 9, 4]);
    expect([...(await stepper.step(s, [1], "none"))]).toEqual([]);
    expect(s).toMatchObject({ blocks: [0, 1], length: 6 });
  });

  it("computes no more logits in one step than a small device's buffer holds", async () => {
    const { stepper, batches } = fake(8, 10_000, 2 ** 22); // 4 rows of 16 MiB
    const ask = (wanted: "last" | "all", tokens: number[]) => stepper.step(sequence(), tokens, wanted);
    await Promise.all([
      ...[1, 2, 3, 4, 5].map((token) => ask("last", [token])),
      ask("all", [6, 7, 8]),
      stepper.step(sequence(), [9], "none"),
    ]);
    expect(batches.map((batch) => batch.outputs.length)).toEqual([4, 4]);
    expect(batches.map((batch) => [...batch.tokens])).toEqual([
      [1, 2, 3, 4, 9],
      [5, 6, 7, 8],
    ]);
  });

  it("puts what waits together into one ragged batch, each with its own blocks", async () => {
    const { stepper, batches } = fake();
    const [a, b] = [sequence(), sequence()];
    const answers = await Promise.all([stepper.step(a, [1, 2, 3, 4, 5], "last"), stepper.step(b, [9], "last")]);
    expect(answers.map((row) => [...row])).toEqual([
      [5, 4],
      [9, 0],
    ]);
    expect(batches).toHaveLength(1);
    expect([...batches[0]!.sequence]).toEqual([0, 0, 0, 0, 0, 1]);
    expect(new Set([...a.blocks, ...b.blocks]).size).toBe(3);
  });

  it("takes the longest waiting first, then single tokens before prompt chunks", async () => {
    const { stepper, batches } = fake(5);
    await Promise.all([
      stepper.step(sequence(), [1, 1, 1, 1], "last"),
      stepper.step(sequence(), [3, 3], "last"),
      stepper.step(sequence(), [2], "last"),
    ]);
    expect(batches.map((b) => [...b.tokens])).toEqual([
      [1, 1, 1, 1, 2],
      [3, 3],
    ]);
  });

  it("lets a prompt of whole steps through while another session decodes without end", async () => {
    const { stepper, batches } = fake(4);
    let done = false;
    const decode = async () => {
      const s = sequence();
      while (!done) await stepper.step(s, [2], "last");
    };
    const prompt = async () => {
      const s = sequence();
      for (let i = 0; i < 3; i++) await stepper.step(s, [1, 1, 1, 1], "none");
      done = true;
    };
    await Promise.all([decode(), prompt()]);
    const sizes = batches.map((b) => b.tokens.length);
    expect(sizes.filter((size) => size === 4)).toHaveLength(3);
    // The decoding session never waited for more than one chunk at a time.
    expect(sizes.join("")).not.toContain("44");
  });

  it("shares steps between sessions that decode side by side", async () => {
    const { stepper, batches } = fake();
    await Promise.all(
      [1, 2, 3].map(async (token) => {
        const s = sequence();
        for (let i = 0; i < 10; i++) expect([...(await stepper.step(s, [token], "last"))]).toEqual([token, i]);
      }),
    );
    expect(batches.map((b) => b.tokens.length)).toEqual(new Array(10).fill(3));
  });

  it("rejects an aborted wait with the signal's reason and leaves the others alone", async () => {
    const { stepper } = fake();
    const abort = new AbortController();
    const gone = stepper.step(sequence(), [1], "last", abort.signal);
    const stays = stepper.step(sequence(), [2], "last");
    abort.abort(new Error("enough"));
    await expect(gone).rejects.toThrow("enough");
    expect([...(await stays)]).toEqual([2, 0]);
  });

  it("passes a failed step on to those in it, and works again after", async () => {
    const { stepper, failWith } = fake();
    const s = sequence();
    failWith(new Error("device gone"));
    await expect(stepper.step(s, [1], "last")).rejects.toThrow("device gone");
    failWith(null);
    expect([...(await stepper.step(s, [1], "last"))]).toEqual([1, 0]);
  });

  describe("a step under way", () => {
    /** A stepper whose steps last until they are cut or let go. */
    function slow() {
      const made = fake(8, 10_000, 2, true);
      return {
        ...made,
        step: (token: number, signal?: AbortSignal) => made.stepper.step(sequence(), [token], "last", signal),
      };
    }

    it("ends when the only one that it is for has left, and the next one is computed", async () => {
      const { step, batches, go, settled } = slow();
      const abort = new AbortController();
      const left = step(1, abort.signal);
      await settled();
      const next = step(2);
      abort.abort(new Error("left"));
      await expect(left).rejects.toThrow("left");
      await settled();
      expect(batches.map(({ tokens }) => [...tokens])).toEqual([[1], [2]]);
      go();
      expect([...(await next)]).toEqual([2, 0]);
    });

    it("goes on for the others when one leaves, who hears of it at once and is not counted on", async () => {
      const { stepper, batches, go, settled } = slow();
      const abort = new AbortController();
      const [mine, other] = [sequence(), sequence()];
      const left = stepper.step(mine, [1], "last", abort.signal);
      const stays = stepper.step(other, [2], "last");
      await settled();
      abort.abort(new Error("left"));
      await expect(left).rejects.toThrow("left");
      go();
      expect([...(await stays)]).toEqual([2, 0]);
      expect([mine.length, other.length, batches.length]).toEqual([0, 1, 1]);
    });

    it("ends when the model is closed", async () => {
      const { step, stepper, settled } = slow();
      const both = [step(1), step(2)].map((answer) => answer.catch((error: Error) => error.message));
      await settled();
      await stepper.close();
      expect(await Promise.all(both)).toEqual(["the model was closed", "the model was closed"]);
    });

    it("and what is done between steps is told so too", async () => {
      const { stepper } = fake();
      const abort = new AbortController();
      const waits = stepper.between(
        (cut) => new Promise<void>((_, reject) => cut.addEventListener("abort", () => reject(cut.reason))),
        abort.signal,
      );
      await settle(3);
      abort.abort(new Error("left"));
      await expect(waits).rejects.toThrow("left");
    });
  });

  it("refuses only the sequence that the KV budget has no room for", async () => {
    const { stepper } = fake(64, 300); // three blocks
    const big = stepper.step(sequence(), new Array<number>(16).fill(1), "last");
    const small = stepper.step(sequence(), [2], "last");
    await expect(big).rejects.toThrow(MemoryError);
    await expect(big).rejects.toThrow("16 positions");
    expect([...(await small)]).toEqual([2, 0]);
  });

  it("close() rejects what waits and everything later", async () => {
    const { stepper } = fake();
    const waits = stepper.step(sequence(), [1], "last");
    const closed = stepper.close();
    await expect(waits).rejects.toThrow(RequestError);
    await closed;
    await expect(stepper.step(sequence(), [1], "last")).rejects.toThrow("closed");
  });
});

describe("block pool", () => {
  it("gives blocks back and hands them out again", async () => {
    const { pool, store } = fake();
    const a: number[] = [];
    await pool.grow(a, 17);
    expect(a).toHaveLength(5);
    pool.shrink(a, 4);
    expect(a).toHaveLength(1);
    const b: number[] = [];
    await pool.grow(b, 16);
    expect(new Set([...a, ...b]).size).toBe(5);
    expect(store.blocks).toBe(5);
  });
});
