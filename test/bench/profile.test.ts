import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import type { ProfileCase } from "../../bench/profile.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { some } from "../support/some.ts";

const run = fileURLToPath(new URL("../../dist/bench/run.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "hotset-profile-"));
afterAll(() => rmSync(folder, { recursive: true }));

function bench(...args: string[]) {
  return spawnSync(process.execPath, [run, "--profile", ...args], { encoding: "utf8" });
}

const SIZES = "hidden_size=64&intermediate_size=96&num_attention_heads=4&num_key_value_heads=2&vocab_size=100";
const MODEL = `synthetic:mixtral-8x7b?layers=3&${SIZES}`;

const left = noAdapter ? NO_ADAPTER : leftToCi;
describe.skipIf(left)(titled("npm run bench -- --profile", left), () => {
  it("prints a table and writes every case with what was dispatched", () => {
    const out = join(folder, "profile.json");
    const lengths = ["--contexts", "0,40", "--prompts", "20", "--chunk", "16", "--tokens", "3"];
    const { status, stdout } = bench("--model", MODEL, ...lengths, "--adapter", adapters[0]!.name, "--out", out);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^copy +[\d.]+ [kMGT]?B\/s read and written/m);
    expect(stdout).toMatch(/^decode at 40: [\d.]+ ms, [\d.]+ tok\/s$/m);
    const { schema, kind, report } = JSON.parse(readFileSync(out, "utf8"));
    expect({ schema, kind, layers: report.layers, skipped: report.skipped }).toEqual({
      schema: 1,
      kind: "profile",
      layers: 3,
      skipped: [],
    });
    const cases: ProfileCase[] = report.cases;
    expect(cases.map(({ name, samples }) => [name, samples.length])).toEqual([
      ["decode at 0", 3],
      ["decode at 40", 3],
      ["prompt of 20", 3],
    ]);
    for (const one of cases) {
      expect(one.kernels.reduce((sum, { calls }) => sum + calls, 0)).toBe(one.dispatches);
      expect(one.stepMs).toBeGreaterThan(0);
      expect(one.created).toBe(0);
    }
    const [decode, later, prompt] = cases;
    expect(decode!.weightBytes).toBe(decode!.leastWeightBytes);
    expect(decode!.submits).toBe(1);
    // One more dispatch a layer is three more in all; others come on top.
    expect(decode!.dispatches - 3 * decode!.dispatchesPerLayer!).toBeGreaterThan(0);
    expect(prompt!.submits).toBe(2); // chunks of 16
    const attention = (one: ProfileCase): number =>
      one.kernels.filter(({ kernel }) => kernel.startsWith("attention")).reduce((sum, { bytes }) => sum + bytes, 0);
    // 3 layers, 40 positions more, 2 heads of 16, keys and values of 2 bytes: at least once each.
    expect(attention(later!) - attention(decode!)).toBeGreaterThanOrEqual(3 * 40 * 2 * 16 * 2 * 2);
  });

  it("starts no further case when its time is over, and reports that", () => {
    const args = ["--contexts", "0", "--prompts", "", "--tokens", "1", "--adapter", adapters[0]!.name];
    const { status, stdout } = bench(
      "--model",
      MODEL,
      ...args,
      "--budget",
      "0.001",
      "--out",
      join(folder, "none.json"),
    );
    expect(status).toBe(0);
    expect(stdout).toContain("not begun within the budget of time: decode at 0");
  });
});

describe("options of --profile", () => {
  it.each(
    some<[string[], string]>(
      [
        [["--weights", "q3"], "--weights: expected one of f32, f16, bf16, q8, q6_k, "],
        [["--contexts", "0,x"], '--contexts: expected a whole number of at least 0, found "x"'],
        [["--cases", "1@0,512"], '--cases: expected cases as 16@4096 (rows, positions) or p512, found "512"'],
        [["--tokens", "0"], '--tokens: expected a whole number of at least 1, found "0"'],
        [["--nonsense"], "nonsense"],
      ],
      1,
    ),
  )("%s is refused", (args, message) => {
    const { status, stderr } = bench(...args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr).toContain("usage: npm run bench -- --profile");
  });
});
