// The page's panels that show the engine at work, in headless Chromium over scripted models.

import type { Locator } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type ActivityLog, openActivity } from "../../src/server/node_activity.ts";
import { servePool } from "../../src/server/pool/serve_pool.ts";
import { noChromium } from "../support/chromium.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { PATIENT } from "../support/patience.ts";
import { workingModel } from "./live_models.ts";
import { axeFinds, hostPage, type PageHost } from "./open_page.ts";

/** The picture of a canvas on which nothing is left to draw: the same after some frames more. */
async function settled(canvas: Locator): Promise<string> {
  let last = "";
  for (;;) {
    const now = await canvas.evaluate(async (element: HTMLCanvasElement) => {
      // Text is in the page before Preact runs the effect that asks for the frame which draws.
      for (let i = 0; i < 4; i++) await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)));
      return element.toDataURL();
    });
    if (now === last) return now;
    last = now;
  }
}

const SIZE = { layers: 3, experts: 8, perToken: 2, onGpu: 2, inRam: 3 };

describe.skipIf(noChromium)(titled("the live panels", noChromium), () => {
  const one = workingModel("one", SIZE);
  let activity: ActivityLog;
  let host: PageHost;
  beforeAll(async () => {
    activity = openActivity(null);
    const models = ["one", "two", "kept"].map((id) => ({
      ...{ id, aliases: [], pinned: id === "kept" },
      measure: async () => ({ ram: 10, gpu: 0, context: 4096 }),
      load: async () => ({ ...(id === "one" ? one : workingModel(id, SIZE)).model, close: async () => {} }),
    }));
    const pool = servePool(models, { budget: { ram: 100, gpu: 0 }, formatBytes: String });
    await pool.load("one");
    await pool.load("kept");
    host = await hostPage(pool, { activity });
  });
  // A page that a failed test leaves open watches on.
  afterEach(async () => {
    await host.leave();
    await expect.poll(() => one.watchers(), PATIENT).toBe(0);
  });
  afterAll(async () => {
    await host?.close();
    await activity?.close();
  });

  it("Experts: nothing is watched until it is in view; the map, by keys and pointer, the timeline, the table", async () => {
    const { page, problems } = await host.visit();
    expect(one.watchers()).toBe(0);
    await page.getByRole("tab", { name: "Experts" }).click();
    const map = page.getByRole("img", { name: /3 layers, from the top, by 8 experts/ });
    await map.waitFor();
    await expect.poll(() => one.watchers(), PATIENT).toBe(1);
    for (let i = 0; i < 20; i++) one.step(i);
    await page.getByText("token 20 of 20").waitFor();
    await page.getByText("75.0 %").waitFor(); // hits
    await map.focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowDown");
    // The second layer's experts on the GPU are 3 and 4.
    await expect
      .poll(() => page.locator(".map-said").innerText(), PATIENT)
      .toMatch(/Layer 1, expert 1: only on disk; used 5 times/);
    const box = (await map.boundingBox())!;
    await page.mouse.move(box.x + (3.5 * box.width) / 8, box.y + (1.5 * box.height) / 3);
    await expect.poll(() => page.locator(".map-said").innerText(), PATIENT).toMatch(/Layer 1, expert 3: on the GPU/);
    const timeline = page.getByRole("slider", { name: "Token that the map shows" });
    await timeline.focus();
    await page.keyboard.press("ArrowLeft");
    await page.getByText("token 19 of 20").waitFor();
    const before = await settled(map);
    one.step(3); // the map is held
    await page.getByText("token 19 of 21").waitFor();
    expect(await settled(map)).toBe(before);
    await page.keyboard.press("ArrowLeft");
    await expect.poll(() => settled(map), PATIENT).not.toBe(before);
    await page.getByRole("button", { name: "Live" }).click();
    await page.getByText("token 21 of 21").waitFor();
    await page.getByText("As a table").click();
    expect(await page.getByRole("row").nth(2).innerText()).toMatch(/^1\s+2\s+3\s+3\s+42\s+8/);
    expect(await axeFinds(page)).toEqual([]);
    await page.getByRole("checkbox", { name: /Record in the background/ }).check();
    await page.getByRole("tab", { name: "Chat" }).click();
    for (let i = 0; i < 4; i++) one.step(i);
    await page.getByRole("tab", { name: "Experts" }).click();
    await page.getByText("token 25 of 25").waitFor();
    await page.getByRole("checkbox", { name: /Record in the background/ }).uncheck();
    await page.getByRole("tab", { name: "Chat" }).click();
    await expect.poll(() => one.watchers(), PATIENT).toBe(0);
    expect(problems).toEqual([]);
  });

  it.skipIf(leftToCi)(titled("Experts: two texts compared", leftToCi), async () => {
    const { page } = await host.visit();
    await page.getByRole("tab", { name: "Experts" }).click();
    await expect.poll(() => one.watchers(), PATIENT).toBe(1);
    for (let i = 0; i < 4; i++) one.step(0);
    await page.getByText("token 4 of 4").waitFor();
    await page.waitForTimeout(1600); // the pause between two texts
    for (let i = 0; i < 4; i++) one.step(i < 2 ? 0 : 4);
    // The experts of `step(4)` are none of those of `step(0)`.
    await page.getByText("They have 50 % of their use of experts in common").waitFor();
    const difference = page.getByRole("img", { name: "How run 2 differs from run 1" });
    await difference.focus();
    await page.keyboard.press("ArrowRight");
    await page.getByText("Layer 0, expert 0: 25.0 points more in run 1; 4 uses in run 1, 2 in run 2.").waitFor();
    await page.getByLabel("Second text").selectOption({ index: 1 });
    await page.getByText("They have 100 %").waitFor();
    expect(await axeFinds(page)).toEqual([]);
  });

  it("Experts: a model that is not loaded is not loaded for it", async () => {
    const { page } = await host.visit();
    await page.getByRole("combobox", { name: "Model" }).selectOption("two");
    await page.getByRole("tab", { name: "Experts" }).click();
    await page.getByText("The model is not loaded: a message loads it.").waitFor();
  });

  it("Activity: figures, charts and groups of each span", async () => {
    for (const status of [200, 200, 503])
      activity.request({
        ...{ model: status === 200 ? "one" : null, key: "ab12cd", status, promptTokens: 10, cachedTokens: 4 },
        ...{ completionTokens: 1234, firstTokenMs: 20, ms: 100 },
      } as never);
    const { page, problems } = await host.visit();
    await page.getByRole("tab", { name: "Activity" }).click();
    await page.getByText("busy, loading or shutting down (503): 1").waitFor();
    expect(await page.locator(".totals").innerText()).toMatch(
      /Requests\s+3\s+Tokens in\s+30\s+12 cached\s+Tokens out\s+3,702/,
    );
    expect(await page.getByRole("region", { name: "By key" }).getByRole("row").nth(1).innerText()).toMatch(
      /^ab12cd\s+3/,
    );
    await expect.poll(() => page.locator(".u-wrap canvas").count(), PATIENT).toBe(3); // a frame later than the texts
    expect(await axeFinds(page)).toEqual([]);
    await page.getByRole("radio", { name: "Hour" }).focus();
    await page.keyboard.press("ArrowRight");
    await expect.poll(() => page.getByRole("radio", { name: "Day", exact: true }).isChecked(), PATIENT).toBe(true);
    await expect.poll(() => page.locator(".uptime span").count(), PATIENT).toBe(96);
    expect(problems).toEqual([]);
  });

  it("Model: facts, memory by place; loading and unloading others, not pinned ones", async () => {
    const { page, problems } = await host.visit();
    await page.getByRole("tab", { name: "Model" }).click();
    await page.getByText("30.5 billion, of which a token uses 3.3 billion").waitFor();
    for (const text of ["qwen3_moe", "q4_k (with q6_k)", "4,096 tokens (of 262,144)", "GPU memory: 6.1 GiB"])
      await page.getByText(text).first().waitFor();
    const load = page.getByRole("button", { name: "Load two" });
    await load.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Unload two" }).click();
    await load.waitFor();
    expect(await page.getByRole("button", { name: /kept/ }).count()).toBe(0);
    expect(await axeFinds(page)).toEqual([]);
    expect(problems).toEqual([]);
  });
});
