// Reads records in pieces from a source that the test controls: bytes, order, urgency, failures.

import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { PieceReader, type ReadHow } from "../../src/experts/piece_reader.ts";
import type { StoredBytes } from "../../src/tensor/types.ts";
import { turn } from "../../src/turn.ts";

const how = (some: Partial<ReadHow> = {}): ReadHow => {
  return { signal: new AbortController().signal, urgent: () => true, bypass: false, ...some };
};

/** A source of bytes id, id + 1, ...; requests are in `asked` until they are released. */
function disk() {
  const asked: { id: number; at: number; bytes: number; come: () => void; fail: (error: Error) => void }[] = [];
  const record = (id: number, bytes: number): StoredBytes => ({
    bytes,
    read: (at, into, signal) =>
      new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        const come = (): void => {
          for (let i = 0; i < into.length; i++) into[i] = id + at + i;
          resolve();
        };
        asked.push({ id, at, bytes: into.length, come, fail: reject });
      }),
  });
  return { asked, record, waiting: () => asked.map(({ id, at, bytes }) => [id, at, bytes]) };
}

/** The state of a promise. */
function watch(promise: Promise<void>) {
  const state = { over: false, error: null as unknown };
  promise.then(
    () => {
      state.over = true;
    },
    (error: unknown) => {
      Object.assign(state, { over: true, error });
    },
  );
  return state;
}

describe("PieceReader", () => {
  it.each([0, 1, 4, 5, 8, 11])("fills %i bytes in pieces of 4, in any order of arrival", async (bytes) => {
    const { asked, record } = disk();
    const into = new Uint8Array(bytes);
    const read = watch(new PieceReader({ piece: 4, most: 8 }).read(record(7, bytes), into, how()));
    expect(asked.length).toBe(Math.max(1, Math.ceil(bytes / 4)));
    for (const piece of asked.splice(0).reverse()) {
      expect(read.over).toBe(false);
      piece.come();
      await turn();
    }
    expect(read).toEqual({ over: true, error: null });
    expect([...into]).toEqual(Array.from({ length: bytes }, (_, i) => 7 + i));
  });

  it("keeps a limited number of pieces in flight, one record after the other", async () => {
    const { asked, record, waiting } = disk();
    const reader = new PieceReader({ piece: 4, most: 3 });
    const reads = [1, 2].map((id) => watch(reader.read(record(id, 8), new Uint8Array(8), how())));
    expect(waiting()).toEqual([
      [1, 0, 4],
      [1, 4, 4],
      [2, 0, 4],
    ]);
    asked.shift()!.come();
    await turn();
    expect(waiting()).toEqual([
      [1, 4, 4],
      [2, 0, 4],
      [2, 4, 4],
    ]);
    asked.shift()!.come();
    await turn();
    expect(reads.map(({ over }) => over)).toEqual([true, false]);
  });

  it("requests urgent records first, also those that become urgent while they wait", async () => {
    const { asked, record, waiting } = disk();
    const reader = new PieceReader({ piece: 4, most: 1 });
    const urgent = new Set<number>();
    const reads = [1, 2, 3].map((id) =>
      watch(reader.read(record(id, 8), new Uint8Array(8), how({ urgent: () => urgent.has(id) }))),
    );
    const order: number[] = [];
    const next = async (): Promise<void> => {
      expect(waiting().length).toBe(1);
      order.push(asked[0]!.id);
      asked.shift()!.come();
      await turn();
    };
    urgent.add(3);
    await next(); // 1: requested before anything was urgent
    urgent.add(2); // older than 3
    await next();
    while (asked.length > 0) await next();
    expect(order).toEqual([1, 3, 2, 2, 3, 1]);
    expect(reads.every(({ over }) => over)).toBe(true);
  });

  it("asks for two pieces at most of what no step waits for: an urgent record comes soon", async () => {
    const { asked, record, waiting } = disk();
    const reader = new PieceReader({ piece: 4, most: 8 });
    const bytes: number[] = [];
    const asks = (n: number): void => void bytes.push(n);
    const later = watch(reader.read(record(1, 16), new Uint8Array(16), how({ urgent: () => false, asks })));
    expect(waiting()).toEqual([
      [1, 0, 4],
      [1, 4, 4],
    ]);
    const now = watch(reader.read(record(2, 12), new Uint8Array(12), how()));
    expect(
      waiting()
        .slice(2)
        .map(([id]) => id),
    ).toEqual([2, 2, 2]);
    expect(bytes).toEqual([4, 4]);
    while (asked.length > 0) {
      asked.shift()!.come();
      await turn();
    }
    expect([later, now]).toEqual(Array(2).fill({ over: true, error: null }));
  });

  it("asks for what a disk reads in 20 ms of that, once its speed is known", async () => {
    let now = 0;
    const { asked, record } = disk();
    const reader = new PieceReader({ piece: 4, most: 8, clock: () => now });
    const first = reader.read(record(1, 16), new Uint8Array(16), how());
    for (const piece of asked.splice(0)) {
      now += 4; // a byte a millisecond
      piece.come();
      await turn();
    }
    await first;
    const abort = new AbortController();
    const later = reader.read(record(2, 400), new Uint8Array(400), how({ urgent: () => false, signal: abort.signal }));
    expect(asked.length).toBe(5);
    abort.abort(new Error("enough"));
    for (const piece of asked.splice(0)) piece.come();
    await expect(later).rejects.toThrow("enough");
  });

  it("ends a record that waits at once when it is given up, and asks for no more of one that is read", async () => {
    const { asked, record } = disk();
    const reader = new PieceReader({ piece: 4, most: 1 });
    const [abort, other] = [new AbortController(), new AbortController()];
    const read = watch(reader.read(record(1, 12), new Uint8Array(12), how({ signal: abort.signal })));
    const waiting = watch(reader.read(record(2, 4), new Uint8Array(4), how({ signal: other.signal })));
    const reason = new Error("another expert is needed");
    other.abort(reason);
    await turn();
    expect(waiting).toEqual({ over: true, error: reason });
    abort.abort(reason);
    await turn();
    expect(read.over).toBe(false); // its piece is still written to
    asked.shift()!.come();
    await turn();
    expect(read).toEqual({ over: true, error: reason });
    expect(asked).toEqual([]);
  });

  it("fails with the first error when no piece is in flight, and requests no more of the record", async () => {
    const { asked, record, waiting } = disk();
    const reader = new PieceReader({ piece: 4, most: 2 });
    const broken = watch(reader.read(record(1, 40), new Uint8Array(40), how()));
    const whole = watch(reader.read(record(2, 4), new Uint8Array(4), how()));
    const error = new WeightsError("the file ends too soon");
    asked.shift()!.fail(error);
    await turn();
    expect(waiting()).toEqual([
      [1, 4, 4],
      [2, 0, 4],
    ]);
    expect(broken.over).toBe(false);
    asked.shift()!.come();
    await turn();
    expect(broken).toEqual({ over: true, error });
    asked.shift()!.come();
    await turn();
    expect(whole).toEqual({ over: true, error: null });
    expect(waiting()).toEqual([]);
  });

  it("ends with the signal's reason", async () => {
    const { asked, record, waiting } = disk();
    const abort = new AbortController();
    const read = watch(
      new PieceReader({ piece: 4, most: 1 }).read(record(1, 8), new Uint8Array(8), how({ signal: abort.signal })),
    );
    const reason = new Error("closed");
    abort.abort(reason);
    expect(read.over).toBe(false);
    asked.shift()!.come();
    await turn();
    expect(read).toEqual({ over: true, error: reason });
    expect(waiting()).toEqual([]);
  });
});
