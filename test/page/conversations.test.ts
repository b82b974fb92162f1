// Conversations that are answered in the background, opened in two tabs, or left in the middle.

import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Act, type Fake, fakeModel } from "../server/fake_model.ts";
import { noChromium } from "../support/chromium.ts";
import { titled } from "../support/fixtures.ts";
import { PATIENT } from "../support/patience.ts";
import { hostPage, modelThere, type PageHost } from "./open_page.ts";

const poll = <T>(read: () => T | Promise<T>) => expect.poll(read, PATIENT);

describe.skipIf(noChromium)(titled("conversations", noChromium), () => {
  let model: Fake;
  let host: PageHost;
  let page: Page;
  let problems: string[];
  /** Lets answers that wait go on. */
  let goOn: () => void;
  beforeAll(async () => {
    model = fakeModel({
      acts(messages): Act[] {
        const word = messages.at(-1)?.content ?? "";
        if (!word.startsWith("wait")) return [{ say: `Answer to ${word}` }];
        const until = new Promise<void>((resolve) => {
          goOn = resolve;
        });
        return [{ say: "Begun" }, { wait: until }, { say: `, ended ${word}` }];
      },
    });
    host = await hostPage(model);
  });
  beforeEach(async () => {
    ({ page, problems } = await host.visit());
  });
  afterEach(async () => {
    await page.context().close();
    await poll(() => model.running()).toBe(0);
  });
  afterAll(() => host?.close());

  const last = (of: Page = page) => of.locator(".message").last();
  const list = (of: Page = page) => of.getByRole("list", { name: "Conversations" });
  const say = async (text: string, of: Page = page) => {
    await of.locator("#message").fill(text);
    await of.keyboard.press("Enter");
  };
  const open = (name: string) => list().getByRole("button", { name, exact: true }).click();

  it("an answer goes on while another conversation is in view, and is answered", async () => {
    await say("wait here");
    await poll(() => last().innerText()).toContain("Begun");
    await page.keyboard.press("Alt+N");
    await say("hello");
    await poll(() => last().innerText()).toContain("Answer to hello");
    expect(model.running()).toBe(1);
    expect(await list().getByRole("img", { name: "being answered" }).count()).toBe(1);
    await list().getByRole("button", { name: "Rename wait here" }).click();
    await page.keyboard.type("Renamed");
    await page.keyboard.press("Enter");
    await open("Renamed");
    await page.getByRole("button", { name: "Stop" }).waitFor();
    await poll(() => last().innerText()).toContain("Begun");
    await open("hello");
    goOn();
    await poll(() => list().getByRole("img").count()).toBe(0);
    await poll(() => last().innerText()).toContain("Answer to hello");
    await open("Renamed");
    await poll(() => last().innerText()).toContain("Begun, ended wait here");
    expect(problems).toEqual([]);
  });

  it("stops the answer in view only; deleting a conversation stops its answer", async () => {
    await say("wait one");
    await poll(() => last().innerText()).toContain("Begun");
    await page.keyboard.press("Alt+N");
    await say("wait two");
    await poll(() => model.running()).toBe(2);
    await page.keyboard.press("Escape");
    await poll(() => last().innerText()).toContain("stopped");
    await poll(() => model.running()).toBe(1);
    await list().getByRole("button", { name: "Delete wait one" }).click();
    await list().getByRole("button", { name: "Really delete wait one" }).click();
    await poll(() => model.running()).toBe(0);
    await poll(() => list().innerText()).not.toContain("wait one");
    expect(problems).toEqual([]);
  });

  it("a reload in the middle of an answer keeps what is there, in view", async () => {
    await say("first");
    await poll(() => last().innerText()).toContain("Answer to first");
    await page.getByRole("button", { name: "Regenerate" }).waitFor();
    await say("wait there");
    await poll(() => last().innerText()).toContain("Begun");
    await page.reload();
    await modelThere(page);
    await poll(() => page.locator(".message").count()).toBe(4);
    await poll(() => last().innerText()).toContain("not finished");
    await last().getByRole("button", { name: "Regenerate" }).click();
    await poll(() => last().innerText()).toMatch(/2 \/ 2[^a-z]+Begun/);
    goOn();
    await poll(() => last().innerText()).toContain("ended wait there");
    expect(problems).toEqual([]);
  });

  it("two tabs show what the other one writes, and what it deletes", async () => {
    await say("shared");
    await poll(() => last().innerText()).toContain("Answer to shared");
    const other = await page.context().newPage();
    await other.goto(`${host.server.url}/`);
    await modelThere(other);
    await list(other).getByRole("button", { name: "shared", exact: true }).click();
    await poll(() => last(other).innerText()).toContain("Answer to shared");
    await say("more", other);
    await poll(() => last(other).innerText()).toContain("Answer to more");
    await poll(() => last().innerText()).toContain("Answer to more");
    await page.getByRole("button", { name: "Send" }).waitFor();
    await say("and more");
    await poll(() => last(other).innerText()).toContain("Answer to and more");
    expect(await page.getByRole("group", { name: "Branches" }).count()).toBe(0);
    await say("wait in this tab");
    await poll(() => model.running()).toBe(1);
    await list(other).getByRole("button", { name: "Delete shared" }).click();
    await list(other).getByRole("button", { name: "Really delete shared" }).click();
    await poll(() => model.running()).toBe(0);
    await poll(() => page.locator(".message").count()).toBe(0);
    await poll(() => list().innerText()).not.toContain("shared");
    await page.reload();
    await page.locator("#message").waitFor();
    expect(await list().getByRole("listitem").count()).toBe(0);
    expect(problems).toEqual([]);
  });
});
