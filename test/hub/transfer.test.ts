import { describe, expect, it } from "vitest";
import { HubError } from "../../src/errors.ts";
import { type Range, Ranges } from "../../src/hub/ranges.ts";
import { type Transfer, transfer } from "../../src/hub/transfer.ts";

const DATA = Uint8Array.from({ length: 100 * 1000 }, (_, i) => (i * 31) >> 3);

/** Runs a transfer of `data` whose answers `respond` makes. */
async function run(
  respond: (range: Range, request: number, signal: AbortSignal) => Response | Promise<Response>,
  { data = DATA, missing = [[0, data.length]] as Range[], ...more }: Partial<Transfer> & { data?: Uint8Array } = {},
) {
  const got = new Uint8Array(data.length);
  const requests: string[] = [];
  const job: Transfer = {
    label: "a/b/file",
    size: data.length,
    missing,
    connections: 4,
    signal: new AbortController().signal,
    retryMs: 1,
    request: async ({ range }, signal) => {
      requests.push(range!);
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(range!)!;
      return respond([Number(from), Number(to) + 1], requests.length, signal);
    },
    write: async (offset, bytes) => got.set(bytes, offset),
    ...more,
  };
  await transfer(job);
  return { got, requests };
}

/** Whether the bytes are the same; toEqual() is slow. */
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

const part = (data: Uint8Array, [from, to]: Range, sent = to): Response =>
  new Response(data.slice(from, sent), {
    status: 206,
    headers: { "content-range": `bytes ${from}-${to - 1}/${data.length}` },
  });

describe("a transfer", () => {
  it("of a large file goes by parts over several connections", async () => {
    const partBytes = 32_000;
    let [running, most] = [0, 0];
    const { got, requests } = await run(
      async (range) => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 5));
        running--;
        return part(DATA, range);
      },
      { partBytes, missing: [[10, DATA.length]] },
    );
    expect(same(got.subarray(10), DATA.subarray(10))).toBe(true);
    expect(requests.length).toBe(4);
    expect(most).toBe(3); // the first goes alone
  });

  it("asks only for what is missing", async () => {
    const { got, requests } = await run((range) => part(DATA, range), {
      missing: [
        [5, 10],
        [50_000, 60_000],
      ],
    });
    expect(requests).toEqual(["bytes=5-9", "bytes=50000-59999"]);
    expect(same(got.subarray(50_000, 60_000), DATA.subarray(50_000, 60_000))).toBe(true);
    expect(got[4]! + got[10]!).toBe(0);
  });

  it("goes on where a connection broke off", async () => {
    const { got, requests } = await run((range, n) => part(DATA, range, n < 5 ? range[0] + 1000 : range[1]));
    expect(same(got, DATA)).toBe(true);
    expect(requests.at(-1)).toBe("bytes=4000-99999");
  });

  it("tries again after 503, 429 and no answer; gives up where nothing comes at all", async () => {
    let tries = 0;
    const refuse = (status: number) => () => {
      if (++tries < 4) throw new HubError(`status ${status}`, status);
      return part(DATA, [0, DATA.length]);
    };
    for (const status of [503, 429, 0]) {
      tries = 0;
      expect(same((await run(refuse(status))).got, DATA)).toBe(true);
    }
    tries = Number.NEGATIVE_INFINITY;
    const never = run((_, n) => {
      tries = n;
      throw new HubError("status 500", 500);
    });
    await expect(never).rejects.toThrow("status 500");
    expect(tries).toBe(6);
  });

  it("does not repeat a refusal", async () => {
    let tries = 0;
    const gated = run(() => {
      tries++;
      throw new HubError("gated", 403);
    });
    await expect(gated).rejects.toThrow("gated");
    expect(tries).toBe(1);
  });

  it("takes a whole file from a server without ranges, also from the middle on", async () => {
    const whole = () => new Response(DATA.slice(), { status: 200 });
    const { got, requests } = await run(whole, { missing: [[70_000, DATA.length]] });
    expect(same(got.subarray(70_000), DATA.subarray(70_000))).toBe(true);
    expect(got[69_999]).toBe(0);
    expect(requests.length).toBe(1);
  });

  it.each([
    ["another range", "bytes 5-9/100000"],
    ["another size", "bytes 0-99999/100001"],
    ["no range", ""],
  ])("refuses %s", async (_, header) => {
    const answer = () => new Response(DATA.slice(), { status: 206, headers: { "content-range": header } });
    await expect(run(answer)).rejects.toThrow(/a\/b\/file: expected bytes 0-99999 of 100000, found .*another file/);
  });

  it("refuses more bytes than there are", async () => {
    const answer = () => new Response(new Uint8Array(DATA.length + 1), { status: 200 });
    await expect(run(answer)).rejects.toThrow(/expected 100000 bytes, found at least 100001/);
  });

  it("a connection that sends nothing is tried again", async () => {
    const { got } = await run(
      (range, n) => (n === 1 ? new Response(new ReadableStream(), part(DATA, range)) : part(DATA, range)),
      { stallMs: 20 },
    );
    expect(same(got, DATA)).toBe(true);
  });

  it("ends when it is aborted, while it waits too", async () => {
    for (const stallMs of [10, 60_000]) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(new Error("enough")), 40);
      const answer = (range: Range) => new Response(new ReadableStream(), part(DATA, range));
      await expect(run(answer, { signal: controller.signal, stallMs, retryMs: 60_000 })).rejects.toThrow("enough");
    }
  });

  it("a failure ends the other connections", async () => {
    const signals: AbortSignal[] = [];
    const failing = run(
      (range, n, signal) => {
        signals.push(signal);
        if (n === 3) throw new HubError("gone", 404);
        return n === 1 ? part(DATA, range) : new Response(new ReadableStream(), part(DATA, range));
      },
      { partBytes: 10_000 },
    );
    await expect(failing).rejects.toThrow("gone");
    expect(signals.slice(1).every((signal) => signal.aborted)).toBe(true);
  });
});

describe("ranges", () => {
  it("join, and tell what is missing", () => {
    const ranges = new Ranges([
      [0, 10],
      [20, 30],
    ]);
    expect(ranges.missing(40)).toEqual([
      [10, 20],
      [30, 40],
    ]);
    expect([ranges.bytes, ranges.front]).toEqual([20, 10]);
    ranges.add(10, 20);
    expect([ranges.bytes, ranges.front, JSON.stringify(ranges)]).toEqual([30, 30, "[[0,30]]"]);
    ranges.add(5, 5);
    ranges.add(25, 40);
    expect(ranges.missing(40)).toEqual([]);
    expect(new Ranges([[5, 6]]).front).toBe(0);
  });
});
