import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hotset, type Outcome, root, tales, talesCopy } from "../support/cli.ts";
import { HUNG } from "../support/patience.ts";
import { some } from "../support/some.ts";

const GENERATE = ["-p", "Once", "-n", "2", "--backend", "cpu"];

function expectFailure({ code, stdout, stderr }: Outcome, message: RegExp): void {
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^hotset: [^\n]+\n$/);
  expect(stderr).not.toMatch(/internal error/);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
}

function editConfig(folder: string, change: Record<string, unknown>): void {
  const path = join(folder, "config.json");
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...change }));
}

describe("a damaged folder: exit code 1, one line that names what is wrong", () => {
  it.each(
    some<[string, (folder: string) => void, RegExp]>(
      [
        ["no folder", (folder) => rmSync(folder, { recursive: true }), /hotset-test-/],
        ["no config", (folder) => rmSync(join(folder, "config.json")), /config\.json/],
        ["a config that is not JSON", (folder) => writeFileSync(join(folder, "config.json"), "{"), /config\.json/],
        [
          "another model type",
          (folder) => editConfig(folder, { model_type: "llama" }),
          /llama.*mixtral|mixtral.*llama/,
        ],
        ["a config at odds with the weights", (folder) => editConfig(folder, { hidden_size: 128 }), /128/],
        ["no weights", (folder) => rmSync(join(folder, "model.safetensors")), /model\.safetensors/],
        [
          "a truncated shard",
          (folder) => truncateSync(join(folder, "model.safetensors"), 1_000_000),
          /model\.safetensors/,
        ],
        ["an empty shard", (folder) => truncateSync(join(folder, "model.safetensors"), 0), /model\.safetensors/],
      ],
      3,
    ),
  )("%s", async (_, damage, message) => {
    const folder = talesCopy();
    damage(folder);
    expectFailure(await hotset(["generate", folder, ...GENERATE]), message);
  });
});

describe("an impossible request: exit code 1, one line", () => {
  it.each(
    some<[string[], string | Uint8Array, RegExp]>(
      [
        [["--backend", "cpu"], "", /stdin was empty/],
        [["--backend", "cpu"], Uint8Array.of(0x61, 0xff, 0xfe), /not UTF-8/],
        [[...GENERATE, "--context", "4096"], "", /2048/],
        [
          ["--backend", "cpu", "--context", "8"],
          "a prompt of more than eight tokens, beyond any doubt",
          /context of 8/,
        ],
        [[...GENERATE, "--ram", "1MB"], "", /--ram/],
      ],
      2,
    ),
  )("generate %j", async (args, input, message) => {
    expectFailure(await hotset(["generate", tales, ...args], input), message);
  });

  it("an adapter that is not there; Dawn may print warnings of its own before", async () => {
    const args = ["-p", "Once", "--backend", "webgpu", "--adapter", "no such adapter"];
    const { code, stdout, stderr } = await hotset(["generate", tales, ...args]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/(^|\n)hotset: [^\n]*no such adapter[^\n]*\n$/);
  });

  it("no folder named, as in hotset generate $UNSET", async () => {
    expectFailure(await hotset(["generate", "", ...GENERATE]), /expected the path of a weights folder/);
  });

  it("a look into a synthetic model, and into one that is none", async () => {
    expectFailure(await hotset(["inspect", "synthetic:mixtral-8x7b"]), /found a synthetic model.*hotset bench/);
    expectFailure(await hotset(["inspect", "synthetic:nothing"]), /expected synthetic: and one of mixtral-8x7b/);
  });

  it("a text for a model without a tokenizer, before its weights are loaded", async () => {
    expectFailure(await hotset(["generate", "synthetic:mixtral-8x7b?layers=1", ...GENERATE]), /has no tokenizer/);
    const folder = talesCopy();
    for (const name of readdirSync(folder)) if (/^tokenizer/.test(name)) rmSync(join(folder, name));
    expectFailure(await hotset(["generate", folder, ...GENERATE]), /expected tokenizer\.json/);
  });

  it("--debug adds the stack", async () => {
    const { code, stderr } = await hotset(["generate", "no/such/folder", ...GENERATE, "--debug"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^hotset: [^\n]+\n\w*Error: [^\n]+\n {4}at /);
  });
});

describe.skipIf(!existsSync("/dev/full"))("a disk that is full (needs /dev/full)", () => {
  const run = (redirect: string, args: readonly string[]) =>
    spawnSync("sh", ["-c", `exec "$@" ${redirect}`, "sh", process.execPath, "dist/src/cli/main.js", ...args], {
      cwd: root,
      encoding: "utf8",
      timeout: HUNG,
    });

  it.each(
    some([[["generate", tales, ...GENERATE]], [["inspect", tales]], [["tokenize", tales, "Once"]], [["--help"]]], 1),
  )("hotset %j: one line, once", (args) => {
    const { status, stderr } = run(">/dev/full", args);
    expect(stderr).toMatch(/^hotset: the output cannot be written: ENOSPC[^\n]*\n$/);
    expect(status).toBe(1);
  });

  it("for stderr alone: the text is written all the same", () => {
    const { status, stdout } = run("2>/dev/full", ["generate", tales, ...GENERATE]);
    expect(stdout.length).toBeGreaterThan(1);
    expect(status).toBe(0);
  });
});
