// How much code the command reads before it does anything.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { inRepo } from "../support/fixtures.ts";

it("the command starts from few files, and without the server's packages", () => {
  const folder = mkdtempSync(join(tmpdir(), "hotset-start-"));
  try {
    const { status } = spawnSync(process.execPath, [inRepo("dist/src/cli/main.js"), "--version"], {
      env: { ...process.env, NODE_V8_COVERAGE: folder },
    });
    expect(status).toBe(0);
    const reports = readdirSync(folder).map((name) => readFileSync(join(folder, name), "utf8"));
    const scripts: { url: string }[] = reports.flatMap((text) => JSON.parse(text).result);
    const files = scripts.map(({ url }) => url).filter((url) => url.startsWith("file:"));
    expect(files.some((url) => url.endsWith("/dist/cli/start.js"))).toBe(true);
    // The bundle's chunks, commander and the tokenizer's package; 720 as modules.
    expect(files.length).toBeLessThan(40);
    expect(files.filter((url) => /node_modules\/(hono|prom-client|pino|undici)\//.test(url))).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
