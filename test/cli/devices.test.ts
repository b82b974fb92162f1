// `hotset devices`: every adapter that Dawn lists, in words and as JSON; a machine without any is
// not an error.

import { expect, it } from "vitest";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { hotset } from "../support/cli.ts";

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
