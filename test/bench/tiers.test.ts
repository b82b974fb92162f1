// Benchmarks of a model in a memory limit: the limit's files, figures, and one small run.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { memoryLimit } from "../../bench/memory_limit.ts";
import { decoderGguf } from "../../bench/peers/decoder_gguf.ts";
import { writeGguf } from "../../bench/peers/gguf.ts";
import { lastWords, startSide } from "../../bench/peers/sides.ts";
import { limitOf, type TiersRow, type TiersRun, tiersRows } from "../../bench/tiers.ts";
import { openWeights } from "../../bench/weights.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";

const root = new URL("../../", import.meta.url);
const folder = mkdtempSync(join(tmpdir(), "hotset-tiers-"));
const results = ["json", "svg"].map((ending) => new URL(`bench/results/tiers-test.${ending}`, root));
afterAll(() => {
  for (const file of [folder, ...results]) rmSync(file, { recursive: true, force: true });
});

it.each([
  [1, "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control", "oom_kill_disable 0\noom_kill 1\n"],
  [2, "memory.max", "memory.peak", "memory.events", "oom 1\noom_kill 1\n"],
] as const)("limits memory by a control group of version %d", (version, limit, peak, events, killed) => {
  const own = join(folder, `v${version}`);
  mkdirSync(own);
  const group = memoryLimit(12345, { version, folder: own });
  if (typeof group === "string") throw new Error(group);
  const [name] = readdirSync(own).filter((one) => one.startsWith("hotset-bench-"));
  const inside = join(own, name!);
  expect(readFileSync(join(inside, limit), "utf8")).toBe("12345");
  if (version === 2) expect(readFileSync(join(own, "cgroup.subtree_control"), "utf8")).toBe("+memory");
  expect(group.peak()).toBeNull();
  expect(group.killed()).toBe(false);
  writeFileSync(join(inside, peak), "999\n");
  writeFileSync(join(inside, events), killed);
  expect(group.peak()).toBe(999);
  expect(group.killed()).toBe(true);
  // What runs a command enters the group first.
  const { stdout } = spawnSync(group.before[0]!, [...group.before.slice(1), "echo", "a b"], { encoding: "utf8" });
  expect(stdout).toBe("a b\n");
  expect(Number(readFileSync(join(inside, "cgroup.procs"), "utf8"))).toBeGreaterThan(0);
  group.remove();
});

it("says why there is no limit", () => {
  expect(memoryLimit(1, null)).toContain("no control group");
  const none = join(folder, "none");
  expect(memoryLimit(1, { version: 1, folder: none })).toContain(`no control group can be made in ${none}`);
});

it.each([
  ["50%", 2000, 1000],
  ["3.5GB", 1, 3.5e9],
  ["2GiB", 1, 2 ** 31],
])("a limit of %s", (text, bytes, expected) => {
  expect(limitOf(text, bytes)).toBe(expected);
});

it("takes ratios within rounds, and keeps why a side was not measured", () => {
  const run = (side: TiersRun["side"], round: number, decodeTps: number): TiersRun => {
    return { side, round, decodeTps, firstTokenMs: 100 * round, peakBytes: null };
  };
  const runs: TiersRun[] = [
    ...[run("hotset", 1, 2), run("hotset", 2, 6), run("llama.cpp, lazy", 1, 1), run("llama.cpp, lazy", 2, 2)],
    { side: "llama.cpp, mmap", round: 1, peakBytes: 5, error: "ended" },
  ];
  expect(tiersRows(["hotset", "llama.cpp, mmap", "llama.cpp, lazy"], runs)).toEqual([
    { side: "hotset", decodeTps: 4, spread: [2, 6], firstTokenMs: 150, ratio: 1 },
    { side: "llama.cpp, mmap", decodeTps: null, firstTokenMs: null, ratio: null, error: "ended" },
    { side: "llama.cpp, lazy", decodeTps: 1.5, spread: [1, 2], firstTokenMs: 150, ratio: 2.5 },
  ] satisfies TiersRow[]);
});

it.each([
  [
    "noise\nfile:1\n  throw x\n\nWeightsError: a.gguf: expected GGUF, found PK\n    at b (c:1)\n\nNode.js v20\n",
    "a.gguf: expected GGUF, found PK",
  ],
  ["Error [ERR_OUT_OF_RANGE]: too large\n", "too large"],
  ["terminate called\n", "terminate called"],
  ["", ""],
])("the reason in what a process said: %j", (said, expected) => {
  expect(lastWords(said)).toBe(expected);
});

it("tells plainly that a side cannot open a file", async () => {
  const gguf = join(folder, "no.gguf");
  writeFileSync(gguf, "PK no such format");
  const task = { side: "ours", package: "", gguf, threads: 1, positions: 8 } as const;
  await expect(startSide(root, task)).rejects.toThrow(/^[^\n]*no\.gguf[^\n]*GGUF[^\n]*$/);
});

it.skipIf(leftToCi)(titled("measures a small model whose experts do not fit, and draws it", leftToCi), async () => {
  const sizes = "hidden_size=256&intermediate_size=512&num_attention_heads=4&num_key_value_heads=2&vocab_size=512";
  const { architecture, sources } = await openWeights(`synthetic:mixtral-8x7b?layers=6&${sizes}`);
  const gguf = join(folder, "small.gguf");
  await writeGguf(gguf, decoderGguf(architecture, sources));
  const run = fileURLToPath(new URL("dist/bench/run.js", root));
  const lengths = ["--warm-up", "2", "--tokens", "2", "--rounds", "1", "--threads", "1"];
  const { status, stderr } = spawnSync(
    process.execPath,
    [run, "tiers", gguf, "--limit", "600MB", "--ram", "45MiB", ...lengths, "--without-peer", "--name", "tiers-test"],
    { encoding: "utf8" },
  );
  expect(status, stderr).toBe(0);
  const [json, svg] = results.map((file) => readFileSync(file, "utf8"));
  const { kind, rows, runs, enforced } = JSON.parse(json!) as {
    kind: string;
    rows: TiersRow[];
    runs: TiersRun[];
    enforced: string;
  };
  expect(kind).toBe("tiers");
  expect(rows[0]!.decodeTps).toBeGreaterThan(0);
  expect(enforced).toMatch(/^cgroup v[12]$|no control group/);
  if (enforced.startsWith("cgroup")) expect(runs[0]!.peakBytes).toBeGreaterThan(10e6);
  expect(svg).toContain("small.gguf");
});
