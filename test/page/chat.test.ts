// The chat of the page over a model that follows a script, in headless Chromium.

import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Act, type Fake, fakeModel } from "../server/fake_model.ts";
import { noChromium } from "../support/chromium.ts";
import { titled } from "../support/fixtures.ts";
import { PATIENT } from "../support/patience.ts";
import { some } from "../support/some.ts";
import { axeFinds, hostPage, type PageHost } from "./open_page.ts";

const CODE = "Here:\n\n```python\ndef f():\n    return 1\n```\n\n1. **one**\n2. two";

const poll = <T>(read: () => T | Promise<T>) => expect.poll(read, PATIENT);

describe.skipIf(noChromium)(titled("the chat", noChromium), () => {
  let model: Fake;
  let host: PageHost;
  let answers = 0;
  beforeAll(async () => {
    model = fakeModel({
      acts(messages, options): Act[] {
        const word = messages.at(-1)?.content ?? "";
        const last = messages.at(-1);
        if (word === "wait") return [{ say: "Begun" }, { wait: null }];
        if (word === "fail") return [{ fail: new Error("no such luck") }];
        if (word === "think") return [{ think: "Hm." }, { say: "Yes" }];
        if (word === "code") return (CODE.match(/.{1,5}/gs) ?? []).map((say) => ({ say }));
        if (options.tools?.length && last?.role === "user")
          return [{ call: options.tools[0]!.name, args: ['{"city":"Paris"}'] }];
        if (options.logprobs !== undefined) return ["a", "b", "c"].map((say) => ({ say }));
        return [{ say: `Answer ${++answers} to ${word}` }];
      },
    });
    host = await hostPage(model);
  });
  afterEach(async () => {
    await host.leave();
    await poll(() => model.running()).toBe(0);
  });
  afterAll(() => host?.close());

  const last = (page: Page) => page.locator(".message").last();
  const say = async (page: Page, text: string) => {
    const before = await page.locator(".message").count();
    await page.locator("#message").fill(text);
    await page.keyboard.press("Enter");
    await poll(() => page.locator(".message").count()).toBe(before + 2);
    await page.getByRole("button", { name: "Send" }).waitFor();
  };
  const asked = () => model.asked.at(-1)!;

  it("sends with Enter, breaks lines with Shift+Enter, stops with Escape", async () => {
    const { page, problems } = await host.visit();
    await page.locator("#message").pressSequentially("one");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("two");
    await page.keyboard.press("Enter");
    await poll(() => asked().messages?.at(-1)?.content).toBe("one\ntwo");
    await page.getByRole("button", { name: "Regenerate" }).waitFor();
    await page.locator("#message").fill("wait");
    await page.keyboard.press("Enter");
    await poll(() => last(page).innerText()).toContain("Begun");
    expect(model.running()).toBe(1);
    await page.keyboard.press("Escape");
    await poll(() => model.running()).toBe(0);
    await poll(() => last(page).innerText()).toContain("stopped");
    expect(problems).toEqual([]);
  });

  it("keeps branches of edits and of new answers, by mouse and by keyboard, over a reload", async () => {
    const { page, problems } = await host.visit();
    await say(page, "first");
    const text = await last(page).locator(".markdown").innerText();
    await last(page).getByRole("button", { name: "Regenerate" }).click();
    await poll(() => last(page).innerText()).toContain("2 / 2");
    await poll(() => last(page).locator(".markdown").innerText()).toMatch(/^Answer/);
    await poll(() => last(page).locator(".markdown").innerText()).not.toBe(text);
    await last(page).getByRole("button", { name: "Earlier branch" }).click();
    await poll(() => last(page).locator(".markdown").innerText()).toBe(text);
    await page.locator("#message").focus();
    await page.keyboard.press("ArrowUp");
    await page.getByRole("textbox", { name: "Edit the message" }).fill("changed");
    await page.keyboard.press("Control+Enter");
    await poll(() => last(page).innerText()).toMatch(/to changed/);
    expect(await page.locator(".message.user").innerText()).toContain("2 / 2");
    await page.reload();
    await page.getByRole("list", { name: "Conversations" }).getByRole("button", { name: "first", exact: true }).click();
    await poll(() => last(page).innerText()).toMatch(/to changed/);
    await page.locator(".message.user").getByRole("button", { name: "Earlier branch" }).click();
    await poll(() => last(page).innerText()).toMatch(/to first/);
    expect(problems).toEqual([]);
  });

  it("shows Markdown and code, which is copied; reasoning folded; failures in the server's words", async () => {
    const { page, problems } = await host.visit({ permissions: ["clipboard-read", "clipboard-write"] });
    await say(page, "code");
    await page.locator(".hljs-keyword").first().waitFor();
    expect(await page.locator(".message ol li strong").innerText()).toBe("one");
    await page.getByRole("button", { name: "Copy code" }).click();
    await poll(() => page.evaluate("navigator.clipboard.readText()")).toBe("def f():\n    return 1");
    await say(page, "think");
    expect(await page.getByText("Hm.").isVisible()).toBe(false);
    await page.getByText("Reasoning").click();
    await page.getByText("Hm.").waitFor();
    expect(problems).toEqual([]);
    await say(page, "fail");
    expect(await last(page).getByRole("alert").innerText()).toMatch(/no such luck|internal/);
    await last(page).getByRole("button", { name: "Regenerate" }).waitFor();
  });

  it("sends parameters within the server's ranges, presets and formats", async () => {
    const { page, problems } = await host.visit();
    await page.getByRole("combobox", { name: "Preset" }).selectOption("Hosted playground");
    await page.getByRole("spinbutton", { name: "Min-p" }).fill("7");
    await page.getByLabel("Stop texts").fill("END\n\\n\\n");
    await page.getByLabel("Answer format").selectOption("JSON schema");
    await say(page, "hi");
    expect(asked().messages?.[0]).toEqual({ role: "system", content: "You are a helpful, accurate assistant." });
    expect(asked().options).toMatchObject({
      temperature: 0.7,
      topP: 0.9,
      maxTokens: 1000,
      minP: 1,
      frequencyPenalty: 0,
      stop: ["END", "\n\n"],
      responseFormat: { type: "json_schema", strict: true },
    });
    await page.getByRole("textbox", { name: "JSON schema" }).fill("{");
    await page.locator("#message").fill("again");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("this is not JSON").waitFor();
    expect(await page.locator("#message").inputValue()).toBe("again");
    await page.getByRole("combobox", { name: "Preset" }).selectOption("The model's own");
    await page.getByLabel("Answer format").selectOption("Free text");
    await page.keyboard.press("Alt+M");
    await page.keyboard.press("Enter");
    await poll(() => asked().messages?.at(-1)?.content).toBe("again");
    expect(asked().options).not.toHaveProperty("temperature");
    expect(problems).toEqual([]);
  });

  it("asks the person for the results of tool calls", async () => {
    const { page, problems } = await host.visit();
    await page.getByText("Tools", { exact: true }).click();
    await page.getByRole("button", { name: "Put in an example" }).click();
    await page.locator("#message").fill("weather");
    await page.keyboard.press("Enter");
    await page.getByRole("textbox", { name: "Result of get_weather" }).fill('{"temperature": 21}');
    expect(await page.locator(".calls").innerText()).toContain('"city": "Paris"');
    await page.getByRole("button", { name: "Give the result" }).click();
    await poll(() => last(page).innerText()).toMatch(/Answer \d+ to \{"temperature": 21\}/);
    expect(asked().messages?.map(({ role }) => role)).toEqual(["user", "assistant", "tool"]);
    expect(await axeFinds(page)).toEqual([]);
    expect(problems).toEqual([]);
  });

  it("shows tokens with their alternatives, and goes on from another one", async () => {
    const { page, problems } = await host.visit();
    await page.getByLabel("Show probabilities").check();
    await say(page, "tokens");
    const token = page.locator('[data-at="1"]');
    await token.hover();
    expect(await page.locator(".alternatives").innerText()).toContain("60.7 %");
    await page.locator('[data-at="0"]').focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    expect(await axeFinds(page)).toEqual([]);
    await page.keyboard.press("Enter");
    await poll(() => last(page).innerText()).toContain("2 / 2");
    await poll(() => last(page).locator(".token-text").innerText()).toBe("a?abc");
    expect(asked().messages?.at(-1)).toMatchObject({ role: "assistant", content: "a?" });
    expect(asked().options.continueAssistant).toBe(true);
    expect(problems).toEqual([]);
  });

  it("lists, finds, renames, deletes, exports and imports conversations", async () => {
    const { page, problems } = await host.visit();
    const list = page.getByRole("list", { name: "Conversations" });
    await say(page, "apples");
    await page.keyboard.press("Alt+N");
    await say(page, "pears");
    await poll(() => list.getByRole("listitem").count()).toBe(2);
    await list.getByRole("button", { name: "Rename apples" }).click();
    await page.keyboard.type("Fruit");
    await page.keyboard.press("Enter");
    await list.getByRole("button", { name: "Fruit", exact: true }).waitFor();
    await page.getByRole("searchbox").fill("to PEARS");
    await poll(() => list.innerText()).not.toContain("Fruit");
    await page.getByRole("searchbox").fill("");
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Export all" }).click(),
    ]);
    const file = readFileSync(await download.path(), "utf8");
    await list.getByRole("button", { name: "Delete Fruit" }).click();
    await list.getByRole("button", { name: "Really delete Fruit" }).click();
    await poll(() => list.getByRole("listitem").count()).toBe(1);
    const upload = (text: string) =>
      page
        .getByLabel("File to import")
        .setInputFiles({ name: "x.json", mimeType: "application/json", buffer: Buffer.from(text) });
    await upload(file);
    await poll(() => list.getByRole("listitem").count()).toBe(3);
    await list.getByRole("button", { name: "Fruit", exact: true }).click();
    await poll(() => last(page).innerText()).toMatch(/to apples/);
    await upload("<b>");
    await page.getByText("x.json was not imported: this is not JSON").waitFor();
    expect(problems).toEqual([]);
  });

  it("continues a text, as base models do", async () => {
    const { page, problems } = await host.visit();
    await page.getByRole("button", { name: "New text" }).click();
    await page.getByRole("button", { name: "Begin a tale" }).click();
    await poll(() => page.locator("#message").inputValue()).toMatch(/^Once/);
    await page.keyboard.press("Enter");
    await poll(() => String(asked().prompt)).toMatch(/^Once upon a time/);
    await poll(() => last(page).innerText()).toMatch(/Answer/);
    await last(page).getByRole("button", { name: "Continue" }).click();
    await poll(() => String(asked().prompt)).toMatch(/^Once .* forest,Answer/);
    expect(problems).toEqual([]);
  });

  it.each(
    some(
      [
        ["light", 1400],
        ["dark", 1400],
        ["light", 390],
        ["dark", 390],
      ] as const,
      0,
    ),
  )("axe finds nothing: %s, %i pixels wide; nothing hangs out", async (colorScheme, width) => {
    const { page } = await host.visit({ colorScheme, viewport: { width, height: 844 } });
    expect(await axeFinds(page)).toEqual([]);
    await say(page, "code");
    await page.locator(".hljs-keyword").first().waitFor();
    expect(await axeFinds(page)).toEqual([]);
    if (width < 500) {
      await page.getByRole("button", { name: "Parameters" }).click();
      await page.getByRole("combobox", { name: "Preset" }).waitFor();
      expect(await axeFinds(page)).toEqual([]);
      await page.keyboard.press("Escape");
    }
    await page.getByRole("button", { name: "Shortcuts" }).click();
    expect(await axeFinds(page)).toEqual([]);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
  });
});
