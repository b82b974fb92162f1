// Deno and Bun: models/tales on the CPU as in Node, and in Deno the conformance suite on its own
// WebGPU, which is wgpu.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { inRepo, titled } from "../support/fixtures.ts";
import { ALL, leftToCi } from "../support/level.ts";
import { HUNG } from "../support/patience.ts";

/** Where `.ci/run` installs the packages `deno` and `bun`. */
const FOLDER = inRepo("dist/runtimes");
const bin = (name: string): string => join(FOLDER, "node_modules/.bin", name);
const lacks = (name: string): string | null =>
  existsSync(bin(name)) ? null : `skipped: no ${name} here (npm install --no-save --prefix dist/runtimes deno bun)`;

const LAVAPIPE = "/usr/share/vulkan/icd.d/lvp_icd.json";
const noVulkan = existsSync(LAVAPIPE) ? null : `skipped: no ${LAVAPIPE}, on which wgpu computes`;

/**
 * Prints what a model says, as JSON: a story with exact weights, and a chat in a schema
 * on two threads.
 */
const SCRIPT = `
import { open } from "../src/index.js";
const story = async (options, prompt) => {
  const model = await open("models/tales", { backend: "cpu", context: 256, ...options });
  const ids = [];
  for await (const piece of model.session().generate(prompt, { maxTokens: 24, temperature: 0 })) ids.push(...piece.ids);
  const schema = { type: "object", properties: { age: { type: "integer", minimum: 1, maximum: 99 } }, required: ["age"], additionalProperties: false };
  const responseFormat = { type: "json_schema", schema, strict: true };
  let answer = "";
  for await (const event of model.chat([{ role: "user", content: "Tell me of a fox." }], { temperature: 0, maxTokens: 40, responseFormat }))
    if (event.type === "text") answer += event.text;
  const { threads } = model.stats().backend;
  await model.close();
  return { ids, answer, threads };
};
console.log(JSON.stringify([
  await story({ weights: "f32", threads: 1 }, "Once upon a time"),
  await story({ weights: "q4", threads: 2, activations: "f32" }, "Once upon a time"),
]));
`;

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const options = { cwd: inRepo(""), encoding: "utf8", timeout: HUNG, maxBuffer: 2 ** 26 } as const;
  return spawnSync(command, [...args], { ...options, env: { ...process.env, NO_COLOR: "1", ...env } });
}

describe("models/tales on another runtime", () => {
  const script = join(FOLDER, "tales.js");
  beforeAll(() => {
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(script, SCRIPT);
  });

  const told = (command: string, ...args: string[]): unknown => {
    const { status, stdout, stderr } = run(command, [...args, script]);
    expect(status, stderr).toBe(0);
    return JSON.parse(stdout.trim().split("\n").at(-1)!);
  };

  for (const { name, args } of [
    { name: "deno", args: ["run", "-A"] },
    { name: "bun", args: ["run"] },
  ]) {
    const skip = leftToCi ?? lacks(name);
    it.skipIf(skip)(titled(`${name} says what Node says`, skip), () => {
      expect(told(bin(name), ...args)).toEqual(told(process.execPath));
    });
  }
});

describe("Deno's WebGPU", () => {
  const skip = leftToCi ?? lacks("deno") ?? noVulkan;

  // Of the products in f16 and int8 one format each: the others differ in how they are unpacked,
  // which the suite in f32 covers. Of attention over caches in f32 one size of heads: its kernels
  // differ from those over f16 only in how they read the cache. Of long texts, in chunks and by
  // the token, one size each. Every size of heads is compiled for seconds.
  const CASES = ALL
    ? ["subgroups conforms", "products in"]
    : [
        "subgroups conforms (?!> append and attention.*(Dh (?!6,).*kv 'f32'|(chunks of|one token).*Dh (?!32|128)))",
        "(f16|int8) conforms .*q4'?$",
      ];
  it.skipIf(skip).each(CASES)(titled("passes the conformance suite: %s", skip), (cases) => {
    const at = (path: string): string => pathToFileURL(inRepo(`dist/test/support/${path}`)).href;
    const imports = { vitest: at("runner.js"), [at("adapters.js")]: at("page_adapters.js") };
    const map = join(FOLDER, "conformance.json");
    writeFileSync(map, JSON.stringify({ imports }));
    const options = ["--unstable-webgpu", "--node-modules-dir=manual", `--import-map=${map}`];
    const suite = ["dist/test/support/node_host.js", "dist/test/backend/webgpu.test.js", "-t", cases];
    const { status, stdout, stderr } = run(bin("deno"), ["run", "-A", ...options, ...suite], {
      VK_DRIVER_FILES: LAVAPIPE,
    });
    const lines = stdout.trim().split("\n");
    console.log(`Deno, ${cases}: ${lines.at(-1)}`);
    expect(lines.filter((line) => line.startsWith("failed"))).toEqual([]);
    expect(status, stderr.slice(-2000)).toBe(0);
    // On that adapter, and all of them.
    expect(lines[0]).toMatch(/llvmpipe.*in a page/);
    expect(Number(/^(\d+) passed, 0 failed, 0 skipped$/.exec(lines.at(-1)!)?.[1])).toBeGreaterThan(20);
  });
});
