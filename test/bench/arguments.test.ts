// What all bench commands have in common: their exit codes, and an end that leaves nothing behind.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { bytes, exitCode, oneOf, whole, wholes } from "../../bench/arguments.ts";
import { RequestError } from "../../src/errors.ts";

it.each<[string, string[], () => number, number, string, string]>([
  ["what its work returns", [], () => 3, 3, "", ""],
  ["its usage for --help, whatever else is asked for", ["--wrong", "--help"], () => 3, 0, "usage: it", ""],
  ["the same for -h", ["-h"], () => 3, 0, "usage: it", ""],
  ["its usage for wrong arguments", ["--wrong"], () => 3, 2, "", "--wrong is wrong\nusage: it"],
  [
    "the message of what failed",
    [],
    () => {
      throw new Error("no disk");
    },
    1,
    "",
    "no disk",
  ],
])("a command gives %s", async (_, args, work, code, out, err) => {
  const said = { log: "", error: "" };
  for (const name of ["log", "error"] as const)
    vi.spyOn(console, name).mockImplementation((text) => {
      said[name] += text;
    });
  onTestFinished(() => void vi.restoreAllMocks());
  const parse = (all: readonly string[]): void => {
    if (all.length > 0) throw new RequestError(`${all[0]} is wrong`);
  };
  expect(await exitCode("usage: it", args, parse, work)).toBe(code);
  expect(said).toEqual({ log: out, error: err });
});

it.each<[string, () => unknown, RegExp]>([
  ["a whole number", () => whole("rounds", "x"), /^--rounds: .* found "x"/],
  ["whole numbers", () => wholes("slots", "1,0"), /^--slots: .* found "0"/],
  ["a choice", () => oneOf("kv", "q9", ["f16", "q8"]), /^--kv: expected one of f16, q8, found "q9"/],
  ["a size", () => bytes("limit", "5%%"), /^--limit: Expected a size/],
])("a wrong option is named: %s", (_, read, message) => {
  expect(read).toThrow(RequestError);
  expect(read).toThrow(message);
});

const dist = new URL("../../dist/bench/", import.meta.url);

it.skipIf(process.platform === "win32").each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("%s leaves no folder, no process and no control group", async (signal, code) => {
  const folder = mkdtempSync(join(tmpdir(), "hotset-leftovers-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const own = join(folder, "group");
  mkdirSync(own);
  // The group is a folder like any other, and the process in it is one that its file names.
  const script = `
    import { appendFileSync, unlinkSync, writeFileSync } from "node:fs";
    import { exitOnSignals, temporaryFolder } from ${JSON.stringify(new URL("leftovers.js", dist).href)};
    import { memoryLimit } from ${JSON.stringify(new URL("memory_limit.js", dist).href)};
    exitOnSignals();
    const { path } = temporaryFolder("test");
    const { before } = memoryLimit(12345, { version: 1, folder: ${JSON.stringify(own)} });
    const group = before[3].replace("cgroup.procs", "");
    writeFileSync(group + "cgroup.procs", "4194304\\n");
    process.kill = (...what) => {
      appendFileSync(${JSON.stringify(join(folder, "killed"))}, what.join(" "));
      for (const file of ["cgroup.procs", "memory.limit_in_bytes"]) unlinkSync(group + file);
    };
    console.log(path);
    setInterval(() => {}, 1000);`;
  const file = join(folder, "command.mjs");
  writeFileSync(file, script);
  const command = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(command.stdout, "data");
  const path = String(line).trim();
  expect(existsSync(path)).toBe(true);
  expect(readdirSync(own)).toHaveLength(1);
  command.kill(signal);
  expect(await once(command, "exit")).toEqual([code, null]);
  expect(existsSync(path)).toBe(false);
  expect(readdirSync(own)).toEqual([]);
  expect(readFileSync(join(folder, "killed"), "utf8")).toBe("4194304 SIGKILL");
});
