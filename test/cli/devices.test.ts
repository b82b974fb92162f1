// `hotset devices`: every adapter that Dawn lists, in words and as JSON; a machine without any is
// not an error.

import { expect, it } from "vitest";
import { variantInWords } from "../../src/backend/webgpu/tuning/words.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { hotset } from "../support/cli.ts";
import { titled } from "../support/fixtures.ts";
import { ALL } from "../support/level.ts";

it.skipIf(noAdapter)(`lists each adapter with its limits${noAdapter ? `: ${NO_ADAPTER}` : ""}`, async () => {
  const json = await hotset(["devices", "--json"]);
  expect(json.code).toBe(0);
  const report = JSON.parse(json.stdout) as { adapters: { name: string; default: boolean; limits: object }[] };
  expect(report.adapters.map(({ name }) => name)).toEqual(adapters.map(({ name }) => name));
  expect(adapters.length).toBeGreaterThan(0);
  expect(report.adapters.filter((adapter) => adapter.default)).toHaveLength(1);
  for (const { limits } of report.adapters)
    for (const limit of Object.values(limits)) expect(limit).toBeGreaterThanOrEqual(8);
  const text = await hotset(["devices"]);
  for (const { name } of adapters) expect(text.stdout).toContain(name);
});

const left = noAdapter ? NO_ADAPTER : ALL ? null : "skipped: times kernels for ten seconds (here: HOTSET_ALL_TESTS=1)";
it("names the formats that --tune takes", async () => {
  const { code, stderr } = await hotset(["devices", "--tune", "q4_0"]);
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/--tune \[format\]' argument 'q4_0' is invalid.*q4, .*q4_k/s);
});

it.skipIf(left)(titled("prints which variants of kernels are fastest", left), async () => {
  const { stdout } = await hotset(["devices", "--tune"]);
  const choice = /^ {4}matrix q4 128 4096: matmul_vec q4 (f32|f16) (tree|subgroups) \d+x\d+, /gm;
  expect(stdout.match(choice)).toHaveLength(adapters.length);
});

it("has variants in words", () => {
  const variant = { arithmetic: "int8", reduce: "tree", threads: 64, teams: 8 };
  expect(variantInWords({ up: variant, down: variant })).toBe("up int8 tree 64x8, down int8 tree 64x8");
  expect(variantInWords("shared64")).toBe("shared64");
});
