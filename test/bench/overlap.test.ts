// The benchmark of overlapping: what its share is of, and its options.

import { expect, it, vi } from "vitest";
import { overlap, overlapCommand, readingAlone } from "../../bench/overlap.ts";
import { elsewhere } from "../../bench/residency/replay.ts";
import type { DecodeReport, Read, ReplayReport } from "../../bench/residency/types.ts";

const report = (tokenMs: number[], demand = 0, prefetch = 0, wasted = 0): DecodeReport => ({
  ...{ tokenMs, budgetBytes: 1, maxRssBytes: 1, highWaterBytes: null, residentBytes: 1 },
  ...{ slots: 1, experts: 8, recordBytes: 1, hitRate: 0, bypassed: 0 },
  bytes: { demand, prefetch, wasted },
  ms: { stall: 0, disk: 0, expertCompute: 0 },
  process: { userMs: 60, systemMs: 20, minorFaults: 0, majorFaults: 0, diskBytes: 0 },
});

it.each([
  ["the disk", { ms: 90, cpuMs: 8 }, 2, { readMs: 90, coresMs: 24, leastMs: 90, share: 0.75 }],
  ["the processor", { ms: 10, cpuMs: 8 }, 2, { readMs: 10, coresMs: 24, leastMs: 48, share: 0.4 }],
  ["one core, which reads too", { ms: 10, cpuMs: 20 }, 1, { readMs: 10, coresMs: 60, leastMs: 60, share: 0.5 }],
])("is the share of %s, where that is slower alone", (_, reading, cores, parts) => {
  const found = overlap(report([100, 140], 300, 100), reading, report([40, 56]), cores);
  expect(found).toEqual({ bytes: 200, used: 200, ms: 120, processorMs: 48, cpuMs: 40, ...parts });
});

it("does not count what is read in vain", () => {
  const decode = report([100], 300, 100, 200);
  const found = overlap(decode, { ms: 90, cpuMs: 8 }, report([40]), 2);
  expect(found).toMatchObject({ bytes: 400, used: 200, readMs: 45, coresMs: 42, leastMs: 45, share: 0.45 });
});

it.each([
  [["m.gguf"], "--ram: expected a budget"],
  [["--ram", "4GiB"], "expected one model"],
  [["m.gguf", "--ram", "4GiB", "--rounds", "0"], "--rounds: expected a whole number"],
])("refuses %j", async (args, message) => {
  const error = vi.spyOn(console, "error").mockReturnValue();
  expect(await overlapCommand(new URL("file:///"), args)).toBe(2);
  expect(error.mock.calls[0]![0]).toContain(message);
  error.mockRestore();
});

it("reads alone what was read longest ago of the same size, and the page cache's reads again", () => {
  const direct = (name: string, offset: number, bytes = 8): Read => [name, offset, bytes, "pages"];
  const done = [direct("a", 0), direct("a", 8), direct("b", 0, 4), direct("b", 8), direct("a", 0)];
  const cached: Read = ["a", 0, 8, false];
  const reads = [direct("a", 0), cached, direct("a", 0), direct("a", 0), direct("b", 0, 4), direct("c", 0, 2)];
  expect(elsewhere(done, reads)).toEqual([
    ...[direct("a", 8), cached, direct("b", 8), direct("a", 0), direct("b", 0, 4), direct("c", 0, 2)],
  ]);
  // And those that were read here count too.
  expect(elsewhere([direct("a", 0), direct("a", 8)], [direct("a", 0), direct("a", 0), direct("a", 0)])).toEqual([
    ...[direct("a", 0), direct("a", 8), direct("a", 0)],
  ]);
});

it("takes the mean speed of reads alone", () => {
  const turn = (bytes: number, ms: number): ReplayReport => ({
    ...{ bytes, ms },
    process: { userMs: 1, systemMs: 2, minorFaults: 0, majorFaults: 0, diskBytes: 0 },
  });
  const { ms, cpuMs } = readingAlone(100, [turn(400, 40), turn(600, 110)]);
  expect(ms).toBeCloseTo(15, 9);
  expect(cpuMs).toBeCloseTo(0.6, 9);
});
