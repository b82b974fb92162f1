// llama.cpp on a bare machine, as far as no GPU is needed: its calls, its packed
// files, its failures.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { type LlamaSequence, llamaFiles } from "../../bench/gpu/llama_addon.ts";
import { type LlamaCase, timeCases } from "../../bench/gpu/llama_cases.ts";
import { llamaCommand, PACKAGE } from "../../bench/gpu/llama_command.ts";

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "hotset-llama-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function files(folder: string, names: readonly string[]): void {
  for (const name of names) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), "{}");
  }
}

describe("timeCases", () => {
  /**
   * A cache that takes the next position only; the calls, as "position+count", with "!" where an id
   * was chosen.
   */
  function cache(afterCall: () => void = () => {}) {
    let held = 0;
    const calls: string[] = [];
    const sequence: LlamaSequence = {
      batch: 8,
      async evaluate(ids, position, choose) {
        expect(position).toBe(held);
        expect(ids.length).toBeLessThanOrEqual(8);
        for (const id of ids) expect(id).toBeLessThan(50);
        held += ids.length;
        calls.push(`${position}+${ids.length}${choose ? "!" : ""}`);
        afterCall();
        return { evalMs: 1, next: choose ? 7 : null };
      },
      forget(position) {
        held = Math.min(held, position);
      },
    };
    return { sequence, calls };
  }
  const options = { contexts: [20, 0], prompts: [10], tokens: 3, vocab: 50, budgetMs: 1e9 };

  it("computes prompts in batches from an empty cache, fills contexts upwards, and decodes each run from the same place", async () => {
    const { sequence, calls } = cache();
    const done: LlamaCase[] = [];
    const skipped = await timeCases(sequence, {
      ...options,
      started: performance.now(),
      onCase: (one) => done.push(one),
    });
    const three = <T>(calls: readonly T[]): T[] => [...calls, ...calls, ...calls];
    expect(calls).toEqual([
      ...["0+8!", ...three(["0+8", "8+2!"])],
      ...["0+1!", "1+1!", ...three(["0+1!", "1+1!", "2+1!"])],
      ...["0+8", "8+8", "16+4"],
      ...["20+1!", "21+1!", ...three(["20+1!", "21+1!", "22+1!"])],
    ]);
    expect(skipped).toEqual([]);
    expect(done.map(({ name, context, tokens, samples }) => [name, context, tokens, samples.length])).toEqual([
      ["prompt of 10", 0, 10, 3],
      ["decode at 0", 0, 3, 3],
      ["decode at 20", 20, 3, 3],
    ]);
    // The fake reports a millisecond a call: two calls for ten tokens, one for each decoded token.
    expect(done.map((one) => one.evalTokensPerSecond)).toEqual([5000, 1000, 1000]);
  });

  it("stops filling a context when the time is over, and says how far it came", async () => {
    let now = 0;
    vi.spyOn(performance, "now").mockImplementation(() => now);
    onTestFinished(() => void vi.restoreAllMocks());
    const { sequence } = cache(() => {
      now += 10;
    });
    const done: string[] = [];
    const skipped = await timeCases(sequence, {
      ...{ ...options, prompts: [], contexts: [0, 20, 30] },
      // decode at 0: two warm-up steps and three runs of three take 110
      ...{ started: 0, budgetMs: 125 },
      onCase: ({ name, tokensPerSecond }) => done.push(`${name}: ${tokensPerSecond}`),
    });
    expect(done).toEqual(["decode at 0: 100"]);
    expect(skipped).toEqual([
      "decode at 20: no time was left when 16 tokens were in the cache",
      "decode at 30: no time was left when 16 tokens were in the cache",
    ]);
  });
});

it("packs the module, its libraries, and two of the many CPU backends", () => {
  const folder = temporary();
  const bins = "bins/linux-x64-vulkan";
  const needed = ["_nlcBuildMetadata.json", "libggml-vulkan.so", "libllama-common.so", "llama-addon.node"];
  const cpus = ["libggml-cpu-haswell.so", "libggml-cpu-x64.so"];
  files(folder, ["LICENSE", "README.md", "package.json", "dist/index.js"]);
  files(
    folder,
    [...needed, ...cpus, "libggml-cpu-zen4.so"].map((name) => `${bins}/${name}`),
  );
  const expected = [...needed, ...cpus].toSorted().map((name) => `${bins}/${name}`);
  expect(llamaFiles(folder)).toEqual(["LICENSE", "package.json", ...expected]);
  rmSync(join(folder, bins, "libggml-vulkan.so"));
  expect(() => llamaFiles(folder)).toThrow(`expected ${bins}/libggml-vulkan.so`);
});

describe("llamaCommand", () => {
  const alone = (): void => {
    vi.stubEnv("HOTSET_PEERS", "");
    vi.spyOn(console, "error").mockImplementation(() => {});
    onTestFinished(() => {
      vi.restoreAllMocks();
      vi.unstubAllEnvs();
    });
  };
  const model = "synthetic:mixtral-8x7b?layers=1&hidden_size=64";

  it("writes the reason if it cannot measure, and fails", async () => {
    alone();
    const folder = temporary();
    const out = join(folder, "out.json");
    const root = pathToFileURL(`${folder}/`);
    expect(await llamaCommand(root, ["--model", model, "--out", out])).toBe(1);
    expect(JSON.parse(readFileSync(out, "utf8"))).toMatchObject({
      ...{ schema: 1, kind: "llama.cpp", model, cases: [] },
      error: expect.stringContaining(`the package ${PACKAGE} is not installed`),
    });
    // A package whose module is not a library: the error of dlopen.
    const peer = join(folder, "node_modules", PACKAGE);
    files(peer, ["package.json", "bins/linux-x64-vulkan/llama-addon.node"]);
    expect(await llamaCommand(root, ["--model", model, "--out", out])).toBe(1);
    expect(JSON.parse(readFileSync(out, "utf8")).error).toContain("llama-addon.node");
  });

  it("rejects meaningless arguments", async () => {
    alone();
    expect(await llamaCommand(new URL("file:///"), ["--model", model])).toBe(2);
    expect(await llamaCommand(new URL("file:///"), ["--model", model, "--out", "x", "--contexts", "1,a"])).toBe(2);
  });
});
