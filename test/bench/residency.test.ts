// The residency benchmark on a small quantized folder: every process runs, counts agree, and the
// printed figures are the measured ones.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bounds } from "../../bench/residency/bounds.ts";
import type { DecodeReport, ReplayReport } from "../../bench/residency/types.ts";
import { quantize } from "../../src/index.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";

const run = fileURLToPath(new URL("../../dist/bench/run.js", import.meta.url));
const result = new URL("../../bench/results/residency-test.json", import.meta.url);
const folder = mkdtempSync(join(tmpdir(), "hotset-residency-test-"));
const SIZES = "hidden_size=256&intermediate_size=512&num_attention_heads=4&num_key_value_heads=2&vocab_size=512";
// More records a token than transit slots: the next token finds none of them.
const [LAYERS, TOKENS] = [8, 4];

afterAll(() => {
  rmSync(folder, { recursive: true });
  rmSync(result, { force: true });
});

const bench = (...args: string[]) => spawnSync(process.execPath, [run, "residency", ...args], { encoding: "utf8" });

interface Run {
  readonly way: string;
  readonly report: DecodeReport & ReplayReport;
}

describe.skipIf(leftToCi)(titled("npm run bench -- residency", leftToCi), () => {
  // One format, so that all records have the same size.
  beforeAll(() =>
    quantize(`synthetic:mixtral-8x7b?layers=${LAYERS}&${SIZES}`, join(folder, "model"), { weights: "q4", threads: 1 }),
  );

  it("measures every process and writes the result", () => {
    const lengths = ["--tokens", String(TOKENS), "--warm-up", "3", "--prompt", "5", "--repeats", "2"];
    const ram = 26 << 20; // less than all of it with scratch
    const { status, stdout, stderr } = bench(
      ...["--model", join(folder, "model"), "--ram", String(ram), ...lengths, "--name", "residency-test"],
    );
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^medians: kept [\d.]+ tok\/s, [\d.]+ times uncached/m);
    const { kind, runs, rounds } = JSON.parse(readFileSync(result, "utf8")) as {
      kind: string;
      runs: Run[];
      rounds: { kept: number; bounds: ReturnType<typeof bounds> }[];
    };
    expect(kind).toBe("residency");
    const ways = ["kept", "replay", "uncached", "compute"];
    expect(runs.map(({ way }) => way)).toEqual([...ways, ...ways]);
    const { recordBytes } = runs[0]!.report;
    for (const { way, report } of runs) {
      if (way === "replay") continue;
      expect(report.tokenMs.length).toBe(TOKENS);
      expect(Math.min(...report.tokenMs)).toBeGreaterThan(0);
      // Two experts of each layer are read each time, on demand or prefetched; wasted prefetches
      // come on top.
      const { demand, prefetch } = report.bytes;
      if (way !== "kept") expect(report.hitRate).toBe(0);
      if (way !== "kept") expect(demand + prefetch).toBeGreaterThanOrEqual(2 * LAYERS * TOKENS * recordBytes);
      else expect(report.hitRate).toBeGreaterThan(0);
    }
    const kept = runs.filter(({ way }) => way === "kept");
    const replays = runs.filter(({ way }) => way === "replay");
    for (const [i, { report }] of replays.entries()) {
      const { demand, prefetch } = kept[i]!.report.bytes;
      // Reads in flight when the measured tokens began, or ended, count in one of the two.
      expect(Math.abs(report.bytes - demand - prefetch)).toBeLessThanOrEqual(4 * recordBytes);
      expect(rounds[i]!.bounds.bytesPerToken).toBe(report.bytes / TOKENS);
      expect(rounds[i]!.bounds.inTurn).toBeLessThan(rounds[i]!.bounds.overlapped);
    }
  });

  it("reports why it cannot run: a folder that fits, one that is not packed, wrong options", () => {
    const fits = bench("--model", join(folder, "model"), "--ram", "4GiB", "--repeats", "1", "--tokens", "1");
    expect(fits.status).toBe(1);
    expect(fits.stderr).toContain("fit the budget");
    const none = bench("--model", join(folder, "nothing"));
    expect(none.status).toBe(1);
    expect(none.stderr).toContain("found nothing");
    for (const args of [[], ["--model", "x", "--ram", "many"], ["--model", "x", "--tokens", "0"]]) {
      const { status, stderr } = bench(...args);
      expect(status).toBe(2);
      expect(stderr).toContain("usage:");
    }
  });
});

describe("the machine's limit", () => {
  it("is the slower of reading and computing, or both one after the other", () => {
    const report = (tokenMs: number[]) => ({ tokenMs }) as unknown as DecodeReport;
    const reads = { bytes: 8e9, ms: 4000 } as ReplayReport;
    expect(bounds(report([2000, 2200]), reads, report([400, 600]))).toEqual({
      bytesPerToken: 4e9,
      readRate: 2e9,
      readSeconds: 2,
      computeSeconds: 0.5,
      overlapped: 1 / 2,
      inTurn: 1 / 2.5,
    });
  });
});
