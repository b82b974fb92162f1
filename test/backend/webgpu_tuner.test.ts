// The tuner's choice among times, its end, and what the store's entries are named by; times are
// made up here.

import { describe, expect, it, vi } from "vitest";
import { adapterKey } from "../../src/backend/webgpu/device/adapter.ts";
import { thresholdsFrom, tileRows } from "../../src/backend/webgpu/tuning/rows.ts";
import { Deadline, search } from "../../src/backend/webgpu/tuning/search.ts";

/** Chooses by made-up times; null: left out. "a" is usual. */
async function chosen(times: Readonly<Record<string, number | null>>, end = new Deadline(1000)) {
  const asked: [string, boolean][] = [];
  const { found, timed } = await search<string>(
    {
      usual: "a",
      plain: "plain",
      stages: [() => Object.keys(times), (best) => [`${best}2`]],
      key: (name) => name,
      measure: async (name, _, isTimed) => {
        asked.push([name, isTimed]);
        return isTimed ? (times[name] ?? null) : Number.MAX_VALUE;
      },
    },
    end,
  );
  return { found, asked, timed };
}

describe("search", () => {
  it("takes what is faster by the margin, and nothing for less", async () => {
    expect((await chosen({ a: 100, b: 98 })).found).toBe("a");
    expect((await chosen({ a: 100, b: 96, c: 99 })).found).toBe("b");
    expect((await chosen({ a: 100, b: 50, b2: 40 })).found).toBe("b2");
  });

  it("leaves out what is not right, even the usual one", async () => {
    expect((await chosen({ a: 100, b: null })).found).toBe("a");
    expect((await chosen({ a: null, b: 200 })).found).toBe("b");
    expect((await chosen({ a: null, b: null })).found).toBe("plain");
  });

  it("tries none twice, and tells all times", async () => {
    const { asked, timed } = await chosen({ a: 100, b: 50 });
    expect(asked.map(([name]) => name)).toEqual(["a", "b", "b2"]);
    expect(timed).toEqual([
      { candidate: "a", ms: 100 },
      { candidate: "b", ms: 50 },
      { candidate: "b2", ms: null },
    ]);
  });

  it("ends with its time: then the usual one is compared, and nothing else is tried", async () => {
    const now = vi.spyOn(performance, "now");
    try {
      now.mockReturnValue(0);
      const end = new Deadline(100);
      now.mockReturnValue(101);
      const { found, asked, timed } = await chosen({ a: 100, b: 1 }, end);
      expect(found).toBe("a");
      expect(asked).toEqual([["a", false]]);
      expect(timed).toEqual([{ candidate: "a", ms: null }]);
      now.mockReturnValue(0);
      const part = new Deadline(100).part(0.5);
      now.mockReturnValue(51);
      expect(part.over).toBe(true);
    } finally {
      now.mockRestore();
    }
  });

  it("ends by a signal", async () => {
    const why = new Error("enough");
    await expect(chosen({ a: 1 }, new Deadline(1000, AbortSignal.abort(why)))).rejects.toBe(why);
  });
});

it("what is stored is named by the driver's version, in a page by the browser's", () => {
  const info = { vendor: "nvidia", architecture: "hopper", device: "", description: "550.54" } as GPUAdapterInfo;
  const other = { ...info, description: "570.86" };
  expect(adapterKey({ info })).not.toBe(adapterKey({ info: other }));
  vi.stubGlobal("navigator", { userAgent: "Browser/140" });
  try {
    expect(adapterKey({ info: { ...info, description: "" } })).toBe("nvidia hopper Browser/140");
  } finally {
    vi.unstubAllGlobals();
  }
});

it("thresholds follow the best form at each number of rows, until tiles are", () => {
  const best = [
    [1, "vec"],
    [2, "8x4"],
    [4, "8x4"],
    [8, "4x16"],
    [16, "tile"],
    [32, "4x16"],
  ] as const;
  expect(thresholdsFrom(best)).toEqual([
    [1, "vec"],
    [4, "8x4"],
    [8, "4x16"],
  ]);
  expect([1, 16, 17, 64, 65, 4000].map(tileRows)).toEqual([16, 16, 64, 64, 512, 512]);
});
