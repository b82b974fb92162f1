// Experts in three tiers in a page: slots on the GPU, RAM, and the origin private file system
// behind them, read by the worker in place.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ModelStats, open, quantize } from "../../src/index.ts";
import { noChromium, openSite, type Site } from "../support/chromium.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";

/** Of each layer of models/tales. */
const EXPERTS = 8;
const PROMPT = "Once upon a time";
const GREEDY = { temperature: 0, maxTokens: 16 } as const;
const COMMON = { kv: "f32", activations: "f32", context: 64, chunk: 32 } as const;

const APPLICATION = `
import { openInWorker } from ${JSON.stringify(inRepo("dist/src/browser.js"))};
let [folder, largest, size] = [null, "", 0];
globalThis.keep = async (address, names) => {
  folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("model", { create: true });
  for (const name of names) {
    const file = await folder.getFileHandle(name, { create: true });
    await (await fetch(address + name)).body.pipeTo(await file.createWritable());
    const bytes = (await file.getFile()).size;
    if (bytes > size) [largest, size] = [name, bytes];
  }
};
globalThis.story = async (text, options, generate) => {
  const model = await openInWorker(folder, options);
  const ids = [];
  for await (const piece of model.session().generate(text, generate)) ids.push(...piece.ids);
  const stats = await model.stats();
  const refused = await folder.removeEntry(largest).then(() => null, ({ name }) => name);
  await model.close();
  return { ids, stats, refused };
};
globalThis.ready = true;
`;

describe.skipIf(noChromium)(titled("tiers in a page", noChromium), () => {
  const folder = mkdtempSync(inRepo("dist/tiers-"));
  let site: Site;
  let visit: Awaited<ReturnType<Site["visit"]>>;

  beforeAll(async () => {
    await quantize(inRepo("models/tales"), join(folder, "q4"), { weights: "q4" });
    const input = join(folder, "application.js");
    writeFileSync(input, APPLICATION);
    const base = `/${relative(inRepo(""), folder)}/`;
    await build({
      root: folder,
      base: `${base}out/`,
      configFile: false,
      logLevel: "error",
      build: {
        outDir: "out",
        target: "es2023",
        rollupOptions: { input, output: { entryFileNames: "application.js" } },
      },
    });
    site = await openSite(`<!doctype html><script type="module" src="${base}out/application.js"></script>`);
    visit = await site.visit("/isolated");
    await visit.page.evaluate(`keep("${base}q4/", ${JSON.stringify(readdirSync(join(folder, "q4")))})`);
  });
  afterAll(async () => {
    await site?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const story = (options: object) =>
    visit.page.evaluate(`story(${[PROMPT, options, GREEDY].map((arg) => JSON.stringify(arg)).join(", ")})`) as Promise<{
      ids: number[];
      stats: ModelStats;
      refused: string | null;
    }>;

  let wanted: number[] = [];
  beforeAll(async () => {
    const model = await open(join(folder, "q4"), { ...COMMON, backend: "cpu" });
    const pieces = model.session().generate(PROMPT, { ...GREEDY, logprobs: 2 });
    for await (const { ids, logprobs = [] } of pieces) {
      // Of tokens that are certain, so that the order of sums does not matter.
      for (const { top } of logprobs) expect(top[0]!.logprob - top[1]!.logprob).toBeGreaterThan(0.01);
      wanted = [...wanted, ...ids];
    }
    await model.close();
  });

  it("the CPU reads half of the experts from storage: the tokens of full residency", async () => {
    const { ids, stats, refused } = await story({ ...COMMON, backend: "cpu", expertSlots: EXPERTS / 2 });
    expect(ids).toEqual(wanted);
    expect(stats.experts!.main.slots).toBe(EXPERTS / 2);
    expect(stats.experts!.main.bytes.demand).toBeGreaterThan(0);
    expect(refused).toBe("NoModificationAllowedError"); // read in place, not as a File
  });

  // Each compiles all kernels of a model.
  it.skipIf(leftToCi)(
    titled("experts of twice the GPU's budget and more than the RAM's: the tokens of full residency", leftToCi),
    async () => {
      const { ids, stats } = await story({ ...COMMON, backend: "webgpu", gpuMemory: 8.5e6, ram: 24e6 });
      expect(ids).toEqual(wanted);
      const { main, ram } = stats.experts!;
      expect(main.slots).toBeLessThanOrEqual(EXPERTS / 2);
      expect(ram!.slots).toBeLessThan(EXPERTS);
      expect(ram!.bytes.demand + ram!.bytes.admission).toBeGreaterThan(0);
      expect(visit.problems).toEqual([]);
    },
  );
});
