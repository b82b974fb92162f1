// How much code the command reads before it does anything.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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
    expect(files.filter((url) => url.endsWith("/dist/cli/webgpu.js"))).toEqual([]); // read where it is chosen
    expect(files.filter((url) => /node_modules\/(hono|prom-client|pino|undici)\//.test(url))).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("the command starts without parts of Node that few commands use", () => {
  const folder = mkdtempSync(join(tmpdir(), "hotset-start-"));
  try {
    const hook = join(folder, "hook.cjs");
    writeFileSync(hook, 'process.on("exit", () => console.log(process.moduleLoadList.join("\\n")));');
    const args = ["--require", hook, inRepo("dist/src/cli/main.js"), "inspect", inRepo("models/tales")];
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
    expect(status).toBe(0);
    const loaded = stdout.split("\n");
    expect(loaded).toContain("NativeModule worker_threads");
    for (const part of ["crypto", "zlib", "readline", "readline/promises"])
      expect(loaded).not.toContain(`NativeModule ${part}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
