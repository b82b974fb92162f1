// Large and odd input in the chat: long answers, long conversations, large pastes, input methods.

import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Act, type Fake, fakeModel } from "../server/fake_model.ts";
import { noChromium } from "../support/chromium.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { PATIENT } from "../support/patience.ts";
import { hostPage, type PageHost } from "./open_page.ts";

const poll = <T>(read: () => T | Promise<T>) => expect.poll(read, PATIENT);
const LINE = `${"words of a long answer ".repeat(20)}\n\n`;

describe.skipIf(noChromium)(titled("large and odd input", noChromium), () => {
  let model: Fake;
  let host: PageHost;
  beforeAll(async () => {
    model = fakeModel({
      *acts(messages): Iterable<Act> {
        const word = messages.at(-1)?.content ?? "";
        if (word === "long") for (let i = 0; i < 2000; i++) yield { say: LINE };
        else yield { say: "ok" };
      },
    });
    host = await hostPage(model);
  });
  afterEach(() => host.leave());
  afterAll(() => host?.close());

  const say = async (page: Page, text: string) => {
    await page.locator("#message").fill(text);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Send" }).waitFor();
  };

  it.skipIf(leftToCi)(titled("an answer of a megabyte is there to its end, in pieces", leftToCi), async () => {
    const { page, problems } = await host.visit();
    await say(page, "long");
    await page.getByRole("button", { name: "Regenerate" }).waitFor();
    const shown = page.locator(".message.assistant .as-is");
    expect(await shown.locator(".piece").count()).toBeGreaterThan(100);
    expect((await shown.textContent())!.length).toBeGreaterThan(9e5);
    expect(problems).toEqual([]);
  });

  it.skipIf(leftToCi)(
    titled("a conversation of thousands of messages shows the last ones, and more when asked", leftToCi),
    async () => {
      const { page, problems } = await host.visit();
      const nodes = Array.from({ length: 5000 }, (_, i) => ({
        ...{ id: `n${i}`, parent: i === 0 ? null : `n${i - 1}`, created: 1 },
        message: { role: i % 2 === 0 ? "user" : "assistant", content: `Text ${i}` },
      }));
      const common = { kind: "chat", title: "thousands", created: 1, updated: 1, leaf: "n4999", settings: {} };
      const file = { format: "hotset-conversations", version: 1, conversations: [{ ...common, nodes }] };
      const buffer = Buffer.from(JSON.stringify(file));
      await page.getByLabel("File to import").setInputFiles({ name: "x.json", mimeType: "application/json", buffer });
      await page.getByRole("button", { name: "Show earlier messages (4900)" }).click();
      await poll(() => page.locator(".message").count()).toBe(200);
      await say(page, "and now");
      await poll(() => page.locator(".message").last().innerText()).toContain("ok");
      expect(model.asked.at(-1)!.messages).toHaveLength(5001);
      expect(problems).toEqual([]);
    },
  );

  it("a large paste is typed into, and sent whole", async () => {
    const { page, problems } = await host.visit();
    const field = page.locator("#message");
    await field.fill("some words ".repeat(50_000));
    await page.keyboard.type("end");
    expect(await field.evaluate((area) => (area as unknown as { style: { height: string } }).style.height)).toBe(
      "260px",
    );
    await page.keyboard.press("Enter");
    await poll(() => model.asked.at(-1)?.messages?.at(-1)?.content?.length).toBe(550_003);
    expect(problems).toEqual([]);
  });

  it("Enter of an input method chooses, and does not send", async () => {
    const { page } = await host.visit();
    const before = model.asked.length;
    await page.locator("#message").fill("\u306b\u307b\u3093");
    const pressed = (more: string) =>
      page.evaluate(`(() => {
        const event = new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true, ${more} });
        document.querySelector("#message").dispatchEvent(event);
        return event.defaultPrevented;
      })()`);
    expect(await pressed("isComposing: true")).toBe(false);
    expect(await pressed("keyCode: 229")).toBe(false); // as Safari says it
    expect(await pressed("keyCode: 13")).toBe(true);
    await poll(() => model.asked.length).toBe(before + 1);
  });

  it("reads the models again after an answer of a model that is gone", async () => {
    const { page } = await host.visit();
    await page.route("**/v1/chat/completions", (route) => route.fulfill({ status: 404, body: "{}" }));
    const again = page.waitForRequest((request) => request.url().endsWith("/hotset/models"));
    await say(page, "fail");
    await again;
  });

  it("320 pixels wide, in the system's colours: nothing is cut off, and what colours say is seen", async () => {
    const { page } = await host.visit({ viewport: { width: 320, height: 500 }, forcedColors: "active" });
    await page.getByRole("heading", { name: "What would you like to know?" }).waitFor();
    const boxes = (await page.evaluate(`[...document.querySelectorAll(".tools-line button, .starters h2")]
      .map((one) => one.getBoundingClientRect())
      .filter(({ width }) => width > 0)
      .map(({ left, right, top }) => [left >= 0, right <= 320, top >= document.querySelector(".tools-line").getBoundingClientRect().top])`)) as boolean[][];
    expect(boxes.length).toBe(5);
    expect(boxes.flat()).not.toContain(false);
    const colour = (tab: string) =>
      page.evaluate(`getComputedStyle(document.getElementById("tab-${tab}")).backgroundColor`);
    expect(await colour("chat")).not.toBe(await colour("model"));
  });
});
