// The page and models/tales behind it, in headless Chromium.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Model } from "../../src/engine/model.ts";
import { openTales } from "../server/real.ts";
import { noChromium } from "../support/chromium.ts";
import { titled } from "../support/fixtures.ts";
import { PATIENT } from "../support/patience.ts";
import { axeFinds, hostPage, type PageHost } from "./open_page.ts";

const poll = <T>(read: () => T | Promise<T>) => expect.poll(read, PATIENT);

describe.skipIf(noChromium)(titled("the page over models/tales", noChromium), () => {
  let model: Model;
  let host: PageHost;
  beforeAll(async () => {
    model = await openTales({ context: 256 });
    host = await hostPage(model.serving({ name: "tales", parallel: 4, queue: 64 }));
  });
  afterAll(async () => {
    await host?.close();
    await model?.close();
  });

  it("answers, and asks no other host", async () => {
    const { page, problems } = await host.visit();
    // It has no chat template, so that the page offers to continue a text.
    await page.getByRole("button", { name: "New chat" }).click();
    await page.getByRole("spinbutton", { name: "Max tokens" }).fill("40");
    await page.getByRole("textbox", { name: "Message", exact: true }).fill("Once upon a time");
    await page.keyboard.press("Enter");
    await poll(() => page.locator(".message.assistant").innerText()).toMatch(/tokens\/s/);
    expect(await page.locator(".message.assistant .markdown").innerText()).toMatch(/\w/);
    expect(await axeFinds(page)).toEqual([]);
    // Two answers at once after each other are two runs, by what was asked.
    await page.getByRole("tab", { name: "Experts" }).click();
    await page.getByText("token 0 of 0").waitFor();
    await page.getByRole("checkbox", { name: /Record in the background/ }).check();
    await page.getByRole("tab", { name: "Chat" }).click();
    for (const text of ["Tell me of a fox.", "And of a crow."]) {
      await page.getByRole("textbox", { name: "Message", exact: true }).fill(text);
      const before = await page.locator(".message").count();
      await page.keyboard.press("Enter");
      await poll(() => page.locator(".message").count()).toBe(before + 2);
      await page.getByRole("button", { name: "Send" }).waitFor();
    }
    await page.getByRole("tab", { name: "Experts" }).click();
    const names = () => page.getByLabel("First text").getByRole("option").allInnerTexts();
    await poll(names).toEqual([
      expect.stringMatching(/^Run 2, “And of a crow\.”, \d+ tokens$/),
      expect.stringMatching(/^Run 1, “Tell me of a fox\.”, \d+ tokens$/),
    ]);
    expect(problems).toEqual([]);
  });
});
