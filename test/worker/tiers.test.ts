// Experts in three tiers in a page: slots on the GPU, RAM, and the origin private file system
// behind them, which the worker reads in place: stored experts where they are, and those that had
// to be packed in a file of the worker's own.

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
const root = await navigator.storage.getDirectory();
globalThis.keep = async (model, address, names) => {
  const folder = await root.getDirectoryHandle(model, { create: true });
  for (const name of names) {
    const file = await folder.getFileHandle(name, { create: true });
    await (await fetch(address + name)).body.pipeTo(await file.createWritable());
  }
};
globalThis.packed = async () => {
  const names = [];
  for await (const name of (await root.getDirectoryHandle("hotset-packed", { create: true })).keys()) names.push(name);
  return names;
};
let model = null;
globalThis.story = async (name, text, options, generate) => {
  const folder = await root.getDirectoryHandle(name);
  model = await openInWorker(folder, options);
  const ids = [];
  for await (const piece of model.session().generate(text, generate)) ids.push(...piece.ids);
  let [largest, size] = ["", 0];
  for await (const [file, handle] of folder.entries()) {
    const bytes = (await handle.getFile()).size;
    if (bytes > size) [largest, size] = [file, bytes];
  }
  const refused = await folder.removeEntry(largest).then(() => null, ({ name }) => name);
  return { ids, stats: await model.stats(), refused };
};
globalThis.shut = () => model.close();
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
    await keep("stored", join(folder, "q4"));
    await keep("published", inRepo("models/tales"));
  });
  afterAll(async () => {
    await site?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const keep = (name: string, from: string) =>
    visit.page.evaluate(
      `keep("${name}", "/${relative(inRepo(""), from)}/", ${JSON.stringify(readdirSync(from).filter((file) => !file.endsWith(".md")))})`,
    );
  const story = (name: "stored" | "published", options: object, page = visit.page) =>
    page.evaluate(`story(${[name, PROMPT, options, GREEDY].map((arg) => JSON.stringify(arg)).join(", ")})`) as Promise<{
      ids: number[];
      stats: ModelStats;
      refused: string | null;
    }>;
  const packed = () => visit.page.evaluate<string[]>("packed()");
  const close = () => visit.page.evaluate("shut()");

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
    const options = { ...COMMON, backend: "cpu", expertSlots: EXPERTS / 2 };
    const { ids, stats, refused } = await story("stored", options);
    expect(ids).toEqual(wanted);
    expect(stats.experts!.main.slots).toBe(EXPERTS / 2);
    expect(stats.experts!.main.bytes.demand).toBeGreaterThan(0);
    expect(refused).toBe("NoModificationAllowedError"); // read in place, not as a File
    expect(stats.experts!.packed).toBe(null);
    expect(await packed()).toEqual([]);
    await close();
  });

  describe("of a checkpoint as it was published", () => {
    /** Of 39.6 MB in BF16, q4 takes 11 MB: half of its experts fit beside what all models need. */
    const options = { ...COMMON, backend: "cpu", weights: "q4", ram: 24e6 } as const;
    const all = (stats: ModelStats) => stats.experts!.recordBytes * EXPERTS * stats.experts!.main.layers.length;

    it("keeps packed experts in storage, and removes them when it is closed", async () => {
      const { ids, stats } = await story("published", options);
      expect(ids).toEqual(wanted);
      const { main, packed: kept } = stats.experts!;
      expect(main.slots).toBeLessThanOrEqual(EXPERTS / 2);
      expect(main.bytes.demand).toBeGreaterThan(0);
      expect(kept!.refused).toBe(null);
      expect(kept!.bytes).toBeGreaterThan(all(stats) / 2);
      expect(kept!.bytes).toBeLessThanOrEqual(all(stats)); // each is packed once
      expect(await packed()).toHaveLength(1);
      await close();
      expect(await packed()).toEqual([]);
    });

    it.skipIf(leftToCi)(
      titled("removes what a page has left that was closed, and nothing of one that is open", leftToCi),
      async () => {
        await story("published", options);
        const opened = visit.page.context().waitForEvent("page");
        await visit.page.evaluate("void open(location.href)");
        const other = await opened;
        await other.waitForFunction("globalThis.ready");
        expect((await story("published", options, other)).ids).toEqual(wanted);
        expect(await packed()).toHaveLength(2);
        await other.close();
        expect(await packed()).toHaveLength(2);
        const [left] = await packed();
        await visit.page.reload();
        await visit.page.waitForFunction("globalThis.ready");
        const next = await story("published", options);
        expect(next.ids).toEqual(wanted);
        expect(await packed()).toHaveLength(1);
        expect(await packed()).not.toEqual([left]);
        await close();
      },
    );

    it.skipIf(leftToCi)(titled("goes on, and says so, where the browser gives no room", leftToCi), async () => {
      const devtools = await visit.page.context().newCDPSession(visit.page);
      const { origin } = new URL(visit.page.url());
      const used = await visit.page.evaluate<number>("navigator.storage.estimate().then(({ usage }) => usage)");
      await devtools.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: used + 2 ** 26 + 2e6 });
      const { ids, stats } = await story("published", options);
      expect(ids).toEqual(wanted);
      const { bytes, refused } = stats.experts!.packed!;
      expect(refused).toMatch(/gives the page no more room: remove a model/);
      expect(bytes).toBeLessThanOrEqual(2e6);
      await close();
      await devtools.send("Storage.overrideQuotaForOrigin", { origin });
    });
  });

  // Each compiles all kernels of a model.
  it.skipIf(leftToCi).each([
    ["stored", "auto"],
    ["published", "q4"],
  ] as const)(
    titled("%s experts of twice the GPU's budget and more than the RAM's: the tokens of full residency", leftToCi),
    async (name, weights) => {
      const { ids, stats } = await story(name, { ...COMMON, backend: "webgpu", weights, gpuMemory: 8.5e6, ram: 24e6 });
      expect(ids).toEqual(wanted);
      const { main, ram } = stats.experts!;
      expect(main.slots).toBeLessThanOrEqual(EXPERTS / 2);
      expect(ram!.slots).toBeLessThan(EXPERTS);
      expect(ram!.bytes.demand + ram!.bytes.admission).toBeGreaterThan(0);
      expect(stats.experts!.packed !== null).toBe(name === "published");
      expect(visit.problems).toEqual([]);
      await close();
    },
  );
});
