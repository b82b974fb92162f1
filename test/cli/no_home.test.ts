import { spawn } from "node:child_process";
import { describe, expect, it, onTestFinished } from "vitest";
import { cacheDirectory } from "../../src/wiring/node_cache.ts";
import { outcome, root, tales } from "../support/cli.ts";
import { titled } from "../support/fixtures.ts";

const NAMES = ["HOTSET_CACHE", "XDG_CACHE_HOME", "HOME"];

/** The variables that say where caches are, until the test is over. */
function withEnv(env: Record<string, string>): void {
  const before = NAMES.map((name) => [name, process.env[name]] as const);
  const set = (name: string, value: string | undefined): void => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  onTestFinished(() => {
    for (const [name, value] of before) set(name, value);
  });
  for (const name of NAMES) set(name, env[name]);
}

describe.runIf(process.platform === "linux")("the cache directory", () => {
  it.each<[Record<string, string>, string | null]>([
    [{ HOME: "/home/a" }, "/home/a/.cache/hotset"],
    [{ HOME: "/home/a", XDG_CACHE_HOME: "/x" }, "/x/hotset"],
    [{ HOME: "/home/a", XDG_CACHE_HOME: "relative" }, "/home/a/.cache/hotset"],
    [{ HOME: "/home/a", XDG_CACHE_HOME: "" }, "/home/a/.cache/hotset"],
    [{ HOME: "relative" }, null],
    [{ HOME: "relative", HOTSET_CACHE: "/c" }, "/c"],
    [{ HOME: "/", HOTSET_CACHE: "" }, "/.cache/hotset"],
  ])("%j: %s", (env, expected) => {
    withEnv(env);
    expect(cacheDirectory()).toBe(expected);
  });
});

const skip = process.getuid?.() === 0 ? null : "skipped: only root can become a user without a name";

describe("a user without a home or a name", () => {
  it.skipIf(skip !== null).each([
    ["generate", tales, "-p", "Once", "-n", "2", "--backend", "cpu"],
    ["generate", tales, "-p", "Once", "-n", "2", "--backend", "cpu", "--ram", "45MB"],
    ["devices", "--help"],
    ["chat", tales, "--backend", "cpu"],
  ])(titled("hotset %s %s works", skip), async (...args) => {
    const env = { PATH: process.env.PATH ?? "" };
    const child = spawn(process.execPath, ["dist/src/cli/main.js", ...args], {
      cwd: root,
      env,
      uid: 54_321,
      gid: 54_321,
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    child.stdin?.end("");
    const { code, stderr } = await outcome(child);
    expect(stderr).not.toContain("hotset: ");
    expect(code).toBe(0);
  });
});
