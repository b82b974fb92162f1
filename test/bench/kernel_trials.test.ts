// The commands that time single kernels on WebGPU run with today's kernels: `formats`, and `shapes`
// with its counts and ratios.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";

const run = fileURLToPath(new URL("../../dist/bench/run.js", import.meta.url));

function bench(...args: string[]): string[] {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [run, ...args, "--adapter", adapters[0]!.name, "--rounds", "1"],
    { encoding: "utf8" },
  );
  expect({ stderr: status === 0 ? "" : stderr, status }).toEqual({ stderr: "", status: 0 });
  return stdout.split("\n");
}

/** Experts of 24 panels of 2 groups of columns, and of 8 of 3: 8 and 12 units a panel. */
const SIZES = "hidden_size=64&intermediate_size=96&num_attention_heads=4&num_key_value_heads=2&vocab_size=100";
const MODEL = `synthetic:mixtral-8x7b?layers=1&${SIZES}`;

const left = noAdapter ? NO_ADAPTER : leftToCi;
describe.skipIf(left)(titled("npm run bench", left), () => {
  it("formats: times both products in f32, and experts in int8", () => {
    const lines = bench("formats", "--formats", "q4", "--arithmetics", "f32,int8", "--width", "256");
    expect(lines.filter((line) => line.split(/ +/).includes("q4")).length).toBe(3);
  });

  it("shapes: counts what a dispatch has, and times it beside a wide matrix", () => {
    const lines = bench("shapes", "--models", MODEL, "--threads", "1");
    expect(lines[0]).toBe(`${MODEL}: 2 of 8 experts, 64 columns and 96`);
    expect(lines[1]).toMatch(
      /^ {2}CPU, threads 1: [\d.]+ GB\/s of a wide matrix; experts [\d.]+ of that, in slots [\d.]+$/,
    );
    const rows = lines.slice(2).filter((line) => line !== "");
    expect(rows.map((line) => line.split(":")[0]!.trim())).toEqual(
      ["f32", "int8"].flatMap((arithmetic) =>
        ["gpu", "software"].flatMap((place) =>
          ["up", "down"].map((kernel) => `expert_${kernel}_vec, ${arithmetic}, as on ${place}`),
        ),
      ),
    );
    for (const row of rows) {
      const [, workgroups, threads, invocations] = row.match(/: (\d+) x (\d+) = (\d+) invocations/)!.map(Number);
      expect(workgroups! * threads!).toBe(invocations);
      const [, most, used] = row.match(/at most (\d+) units each, (\d+) % used; [\d.]+ of a wide/)!.map(Number);
      // Units of two experts: 24 panels of 8, or 8 of 12.
      const units = row.includes("_up_") ? 2 * 24 * 8 : 2 * 8 * 12;
      expect(used).toBe(Math.round((100 * units) / (most! * invocations!)));
    }
  });
});
