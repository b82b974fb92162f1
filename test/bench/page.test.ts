// The benchmark as a page, in Chromium on a model of two tiny layers: stages, results, trouble.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildPage } from "../../bench/page/build.ts";
import type { PageResult } from "../../bench/page/types.ts";
import { type Served, serve } from "../../bench/peers/server.ts";
import { noChromium, openSite, type Site } from "../support/chromium.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { HUNG } from "../support/patience.ts";

const SIZES = "hidden_size=256&intermediate_size=256&num_attention_heads=4&num_key_value_heads=2&vocab_size=64";
const PLAN = {
  model: `synthetic:mixtral-8x7b?layers=LAYERS&${SIZES}`,
  layers: "2",
  weights: "q4_k",
  tokens: "1",
  // The second case wants more memory than a buffer may have.
  cases: "1@0,64@900000,p16",
  conformance: "(?<!robust) conforms > rows",
};

const left = noChromium ?? leftToCi;
describe.skipIf(left)(titled("bench/page", left), () => {
  let folder: string;
  let site: Site;
  let served: Served;
  let page: Page;
  const foreign: string[] = [];
  const problems: string[] = [];
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "hotset-page-"));
    await buildPage(new URL("../../", import.meta.url), folder);
    const html = readFileSync(join(folder, "index.html"), "utf8");
    served = await serve({ page: html, folders: { assets: join(folder, "assets") } });
    site = await openSite("<script>globalThis.ready = true</script>");
    ({ page } = await site.visit("/"));
    page.setDefaultTimeout(HUNG);
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => problems.push(message.text()));
    page.on("request", (request) => {
      if (!request.url().startsWith(served.origin)) foreign.push(request.url());
    });
    await page.goto(`${served.origin}/?${new URLSearchParams(PLAN)}`);
  });
  afterAll(async () => {
    await site?.close();
    served?.close();
    rmSync(folder, { recursive: true });
  });

  const run = () => page.getByRole("button", { name: "Run" }).click();
  const result = async (): Promise<PageResult> => {
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download JSON" }).click();
    return JSON.parse(readFileSync(await (await download).path(), "utf8"));
  };

  it("runs its stages, and hands out what it found", async () => {
    await run();
    await page.getByText(/^Done/).waitFor();
    const { kind, adapter, stages } = await result();
    expect({ kind, vendor: adapter.vendor, software: adapter.software }).toEqual({
      kind: "page",
      vendor: "google",
      software: true,
    });
    expect(stages.map(({ name, state }) => [name, state])).toEqual([
      ["conformance", "done"],
      ["q4_k weights", "done"],
    ]);
    const { conformance } = stages[0]!;
    expect(conformance!.passed).toBeGreaterThan(0);
    expect(conformance!.failed).toEqual([]);
    const { profile } = stages[1]!;
    expect(profile!.cases.map(({ name }) => name)).toEqual(["decode at 0", "prompt of 16"]);
    expect(profile!.failed).toEqual([{ name: "decode of 64 at 900000", error: expect.stringContaining("at most") }]);
    expect(profile!.copy.bytesPerSecond).toBeGreaterThan(0);
    expect(Object.keys(profile!.tuned).length).toBeGreaterThan(0);
    const [decode] = profile!.cases;
    expect(decode!.kernels.every(({ kernel }) => !/ q4 /.test(kernel))).toBe(true);
    expect(decode!.grainNs).toBeGreaterThan(0);
    // Shown, too.
    const cells = await page.getByRole("cell").allTextContents();
    expect(cells).toContain(decode!.tokensPerSecond.toFixed(1));
    expect({ foreign, problems }).toEqual({ foreign: [], problems: [] });
  });

  it("stops when it is told to, and runs again", async () => {
    await run();
    await page.getByRole("heading", { name: "q4_k weights: running" }).waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText(/^Stopped/).waitFor();
    const { stages } = await result();
    expect(stages.map(({ state }) => state)).toEqual(["done", "stopped"]);
    expect(await page.getByRole("button", { name: "Run" }).isEnabled()).toBe(true);
  });
});
