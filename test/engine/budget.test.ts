import { describe, expect, it } from "vitest";
import { AUTOMATIC, type PackableName } from "../../kernels/formats/index.ts";
import { formatBytes, planMemory } from "../../src/engine/budget.ts";
import { MemoryError } from "../../src/errors.ts";

const sizes: Partial<Record<PackableName, number>> = { f32: 3200, f16: 1600, q8: 850, q4: 450 };
const needs = {
  weights: (p: PackableName) => sizes[p]! * 1e6,
  dense: (p: PackableName) => (sizes[p]! * 1e6) / 10,
  classes: (p: PackableName) => [{ layers: 4, experts: 8, record: (sizes[p]! * 1e6 * 0.9) / 32 }],
  kv: (positions: number) => 1e4 * positions,
  scratch: 1e7,
  context: 8192,
  automatic: AUTOMATIC,
};
const ram = (bytes: number) => ({ main: { bytes, option: "ram" }, ram: null, tiers: false });
const kv = 2048 * 1e4;

describe("memory plan", () => {
  it.each([
    ["everything", 1e10, "f32"],
    ["just f16", 1600e6 + 1e7 + kv, "f16"],
    ["a byte less than f16", 1600e6 + 1e7 + kv - 1, "q8"],
    ["just q4", 450e6 + 1e7 + kv, "q4"],
  ])("auto takes the most precise that fits: %s", (_name, budget, weights) => {
    const plan = planMemory(needs, "auto", ram(budget));
    expect(plan).toEqual({ weights, kvBytes: budget - sizes[plan.weights]! * 1e6 - 1e7, tiers: null });
  });
  it("says the smallest budget that works, and that budget works", () => {
    expect(() => planMemory(needs, "auto", ram(4e8))).toThrow(MemoryError);
    expect(() => planMemory(needs, "f32", ram(4e8))).toThrow(/smallest that works with f32.*choose weights q4/);
    const message = (() => {
      try {
        planMemory(needs, "auto", ram(4e8));
        return "";
      } catch (error) {
        return String(error);
      }
    })();
    const mebibytes = Number(/is (\d+) MiB/.exec(message)?.[1]);
    expect(planMemory(needs, "auto", ram(mebibytes * 2 ** 20)).weights).toBe("q4");
  });
  it("needs no more KV than the context", () => {
    expect(planMemory({ ...needs, context: 10 }, "q4", ram(450e6 + 1e7 + 1e5)).kvBytes).toBe(1e5);
  });
});

describe("slots for offloaded experts", () => {
  const [record, fixed] = [needs.classes("q4")[0]!.record, 45e6 + 1e7 + kv];
  const plan = (records: number, behind: number | null = null, slots?: number) => {
    const main = { bytes: Math.ceil(fixed + records * record), option: "ram" };
    return planMemory(needs, "q4", {
      ...{ main, tiers: true, slots },
      ram: behind === null ? null : { bytes: Math.ceil(behind * record) + 1e6, held: 1e6, option: "ram" },
    }).tiers![0];
  };

  it.each([
    [6, { slots: 1, extra: 0, transit: 2 }],
    [9, { slots: 1, extra: 0, transit: 5 }],
    [11, { slots: 1, extra: 2, transit: 5 }],
    [12, { slots: 1, extra: 3, transit: 5 }],
    [13, { slots: 2, extra: 0, transit: 5 }],
    [31, { slots: 6, extra: 2, transit: 5 }],
  ])("%d records in RAM: what is left after whole rounds keeps experts too", (records, tiers) => {
    expect(plan(records)).toEqual({ ...tiers, ram: null });
  });

  it("gives all layers as many as were asked for", () => {
    expect(plan(20, null, 2)).toEqual({ slots: 2, extra: 0, transit: 5, ram: null });
  });

  it.each([
    [2, { quota: 0, extra: 0, slots: 2 }],
    [7, { quota: 0, extra: 2, slots: 7 }],
    [18, { quota: 3, extra: 1, slots: 18 }],
    [37, { quota: 8, extra: 0, slots: 37 }],
    [100, { quota: 8, extra: 0, slots: 37 }],
  ])("%d records in RAM behind a GPU, whose layers all have the same", (records, ram) => {
    expect(plan(11, records)).toEqual({ slots: 1, extra: 0, transit: 5, ram });
  });

  it("too little RAM behind a GPU: the budget that was given, and what is needed", () => {
    const own = { main: { bytes: 1e9, option: "gpuMemory" }, tiers: true, slots: 1 };
    const ram = { bytes: 16 * 2 ** 20, held: 17 * 2 ** 20, option: "ram, --ram" };
    expect(() => planMemory(needs, "q4", { ...own, ram })).toThrow(
      /budget of 16 MiB \(option ram, --ram\) is too small: .* take \d\d MiB/,
    );
  });
});

describe("slots for large records", () => {
  const record = 2 ** 24;
  const large = { ...needs, classes: () => [{ layers: 4, experts: 8, record }] };
  const bytes = 45e6 + 1e7 + kv + 16 * record;

  it("in RAM before a disk three are on their way, and what that leaves keeps experts", () => {
    const budgets = { main: { bytes, option: "ram" }, ram: null, tiers: true };
    expect(planMemory(large, "q4", budgets).tiers).toEqual([{ slots: 3, extra: 1, transit: 3, ram: null }]);
  });

  it("on a GPU and in RAM behind it five are", () => {
    const main = { bytes, option: "gpuMemory" };
    const ram = { bytes: 16 * record, held: 0, option: "ram" };
    const behind = { quota: 2, extra: 3, slots: 16 };
    expect(planMemory(large, "q4", { main, ram, tiers: true }).tiers).toEqual([
      { slots: 2, extra: 0, transit: 5, ram: behind },
    ]);
  });
});

describe("slots of two classes of layers", () => {
  const [small, large] = [1e6, 3e6];
  const classes = [
    { layers: 3, experts: 8, record: small },
    { layers: 2, experts: 8, record: large },
  ];
  const fixed = 45e6 + 1e7 + kv;
  const plan = (bytes: number, behind: number | null = null) => {
    return planMemory({ ...needs, classes: () => classes }, "q4", {
      main: { bytes: fixed + bytes, option: "ram" },
      ram: behind === null ? null : { bytes: behind, held: 0, option: "ram" },
      tiers: true,
    }).tiers!;
  };
  const round = 3 * small + 2 * large; // one slot for every layer
  const transit = 5 * (small + large);

  it("all layers get as many slots, and the budget holds", () => {
    const [first, second] = plan(3 * round + transit);
    expect(first).toEqual({ slots: 3, extra: 0, transit: 5, ram: null });
    expect(second).toEqual({ slots: 3, extra: 0, transit: 5, ram: null });
  });

  it.each([
    ["a record of the first", small, [1, 0]],
    ["all of the first, and one of the second", 3 * small + large, [3, 1]],
    ["a byte less than that", 3 * small + large - 1, [3, 0]],
  ])("what is left after whole rounds keeps more: %s", (_name, left, extra) => {
    expect(plan(3 * round + transit + left).map((tiers) => tiers.extra)).toEqual(extra);
  });

  it("fewer transit slots before fewer than one slot a layer, and no less than two of each class", () => {
    const least = round + 2 * (small + large);
    expect(plan(least).map(({ slots, transit }) => [slots, transit])).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(() => plan(least - 1)).toThrow(/too small/);
  });

  it("RAM behind a GPU is split likewise", () => {
    const [first, second] = plan(round + transit, 2 * round + transit + 2 * small);
    expect(first!.ram).toEqual({ quota: 2, extra: 2, slots: 3 * 2 + 2 + 5 });
    expect(second!.ram).toEqual({ quota: 2, extra: 0, slots: 2 * 2 + 5 });
  });
});

describe("bytes for a person", () => {
  it.each([
    [1, "1 KiB"],
    [1024 ** 2, "1 MiB"],
    [1024 ** 2 + 1, "2 MiB"],
    [26.25 * 2 ** 30, "26.3 GiB"],
  ])("%d is %s", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});
