// The conformance suite in plain Node, without vitest: a folder with the compiled files, the
// runner's packages and `webgpu`.

import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { RUNNER_PACKAGES } from "../support/runner_packages.ts";

const SUITE = "dist/test/backend/webgpu.test.js";
const FAILING = `
import { afterAll, beforeAll, describe, expect, it } from "vitest";
it("fails", () => expect([1, 2]).toEqual([1, 3]));
it("is late", { timeout: 20 }, () => new Promise(() => {}));
it.skip("is skipped", () => {});
it("skips itself", ({ skip }) => skip("for a reason"));
describe("cannot start", () => {
  beforeAll(() => { throw new Error("no way to start"); });
  it("never runs", () => {});
});
describe("cannot end", () => {
  afterAll(() => { throw new Error("no way to end"); });
  it("runs", () => {});
});
`;

describe("without vitest", () => {
  let folder: string;
  beforeAll(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), "hotset-bare-")));
    const code = (path: string) => !/\.(map|d\.ts)$/.test(path);
    for (const part of ["dist/src", "dist/kernels", "dist/test", "package.json"])
      cpSync(inRepo(part), join(folder, part), { recursive: true, filter: code });
    for (const name of RUNNER_PACKAGES)
      cpSync(inRepo(`node_modules/${name}`), join(folder, "node_modules", name), { recursive: true, filter: code });
    symlinkSync(realpathSync(inRepo("node_modules/webgpu")), join(folder, "node_modules/webgpu"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function run(...args: readonly string[]) {
    const host = join(folder, "dist/test/support/node_host.js");
    // what is chosen is passed, none of it left to a page
    const env = { ...process.env, HOTSET_ALL_TESTS: "1" };
    const options = { cwd: folder, encoding: "utf8", env } as const;
    const { status, stdout, stderr } = spawnSync(process.execPath, [host, ...args], options);
    return { status, lines: stdout.trim().split("\n"), stderr };
  }

  it.skipIf(noAdapter)(titled("runs cases of the WebGPU conformance suite", noAdapter ? NO_ADAPTER : null), () => {
    const { lines: all } = run("--list", SUITE);
    const chosen = all.filter((name) => name.includes("rmsNorm"));
    expect(chosen.length).toBeGreaterThan(0);
    const { status, lines, stderr } = run(SUITE, "-t", "rmsNorm");
    expect(lines.at(-1), stderr).toBe(`${chosen.length} passed, 0 failed, 0 skipped`);
    expect(lines.slice(0, -1).map((line) => /^passed (.*) \(\d+ ms\)$/.exec(line)?.[1])).toEqual(chosen);
    expect(status).toBe(0);
  });

  it("names what failed, was late, was skipped and could not start or end, each with its reason", () => {
    const file = join(folder, "failing.js");
    writeFileSync(file, FAILING);
    const { status, lines } = run(file);
    const text = lines.join("\n").replaceAll(/\(\d+ ms\)/g, "(ms)");
    for (const line of [
      "failed fails (ms): AssertionError: expected [ 1, 2 ] to deeply equal [ 1, 3 ]",
      "failed is late (ms): Error: Test timed out in 20ms.",
      "skipped is skipped (ms): declared as skipped",
      "skipped skips itself (ms): for a reason",
      "failed cannot start > never runs (ms): did not run: Error: no way to start",
      "passed cannot end > runs (ms)",
      "failed cannot end (ms): afterAll: Error: no way to end",
    ])
      expect(text).toContain(line);
    expect(lines.at(-1)).toBe("1 passed, 4 failed, 2 skipped");
    expect(status).toBe(1);
  });

  it.each([
    { name: "declares nothing", code: "", message: "declares no case" },
    { name: "cannot be loaded", code: 'import "./nowhere.js";', message: "nowhere.js" },
  ])("fails where a file $name", ({ code, message }) => {
    const file = join(folder, "empty.js");
    writeFileSync(file, code);
    const { status, stderr } = run(file);
    expect(stderr).toContain("empty.js");
    expect(stderr).toContain(message);
    expect(status).toBe(1);
  });

  it("fails where no case was chosen", () => {
    const file = join(folder, "failing.js");
    writeFileSync(file, FAILING);
    const { status, lines } = run(file, "-t", "no case has this name");
    expect({ status, last: lines.at(-1) }).toEqual({ status: 1, last: "0 passed, 0 failed, 0 skipped" });
  });
});
