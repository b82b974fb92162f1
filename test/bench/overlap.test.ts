// The benchmark of overlapping: what its share is of, and its options.

import { expect, it, vi } from "vitest";
import { overlap, overlapCommand } from "../../bench/overlap.ts";
import type { DecodeReport } from "../../bench/residency/types.ts";

const report = (tokenMs: number[], demand = 0, prefetch = 0): DecodeReport => ({
  ...{ tokenMs, budgetBytes: 1, maxRssBytes: 1, highWaterBytes: null, residentBytes: 1 },
  ...{ slots: 1, experts: 8, recordBytes: 1, hitRate: 0, bypassed: 0 },
  bytes: { demand, prefetch, wasted: 0 },
  ms: { stall: 0, disk: 0, expertCompute: 0 },
  process: { userMs: 60, systemMs: 20, minorFaults: 0, majorFaults: 0, diskBytes: 0 },
});

it.each([
  ["the disk", 90, 90, 0.75],
  ["the processor", 10, 48, 0.4],
])("is the share of %s, where that is slower alone", (_, readMs, leastMs, share) => {
  const found = overlap(report([100, 140], 300, 100), readMs, report([40, 56]));
  expect(found).toEqual({ bytes: 200, ms: 120, readMs, processorMs: 48, leastMs, share, cpuMs: 40 });
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
