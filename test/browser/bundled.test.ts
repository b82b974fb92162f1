// Chat and grammars in a page, by a bundler as an application has one: the same answers as in Node.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ChatEvent, open } from "../../src/index.ts";
import { application, GREEDY, MESSAGES, QUESTIONS, said } from "../support/application.ts";
import { noChromium, openSite, type Site } from "../support/chromium.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { some } from "../support/some.ts";

const OPTIONS = { backend: "cpu", weights: "q4", threads: 1, context: 512 } as const;

describe.skipIf(noChromium)(titled("bundled, in Chromium", noChromium), () => {
  const folder = mkdtempSync(inRepo("dist/bundled-"));
  let site: Site;
  let page: Awaited<ReturnType<Site["visit"]>>;
  const call = <T>(name: string, ...args: unknown[]) =>
    page.page.evaluate(`${name}(${args.map((arg) => JSON.stringify(arg)).join(", ")})`) as Promise<T>;

  beforeAll(async () => {
    const input = join(folder, "application.js");
    writeFileSync(
      input,
      application(inRepo("dist/src/browser.js"), (name) => inRepo(`dist/src/adapters/${name}.js`)),
    );
    const base = `/${relative(inRepo(""), folder)}/out/`;
    const output = { entryFileNames: "application.js" };
    await build({
      root: folder,
      base,
      configFile: false,
      logLevel: "error",
      build: { outDir: "out", target: "es2023", rollupOptions: { input, output } },
    });
    site = await openSite(`<!doctype html><script type="module" src="${base}application.js"></script>`);
    page = await site.visit("/");
    await call("load", OPTIONS);
  });
  afterAll(async () => {
    await site?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(some(Object.entries(QUESTIONS), 1))("gives Node's answer: %s", async (_, options) => {
    const model = await open(inRepo("models/tales"), OPTIONS);
    const wanted: ChatEvent[] = [];
    for await (const event of model.chat(MESSAGES, options)) wanted.push(event);
    await model.close();
    const found = await call<ChatEvent[]>("chat", MESSAGES, options);
    expect(page.problems).toEqual([]);
    expect(said(found)).toEqual(said(wanted));
    expect(found.length).toBeGreaterThan(1);
  });

  it("refuses what it cannot promise by name, as in Node", async () => {
    const options = { responseFormat: { type: "regex", pattern: "(a)\\1" } };
    await expect(call("chat", MESSAGES, options)).rejects.toThrow(/RequestError/);
  });

  it.skipIf(leftToCi)(titled("answers as LanguageModel, and as a model of the AI SDK", leftToCi), async () => {
    const model = await open(inRepo("models/tales"), OPTIONS);
    const wanted = async (question: string) => {
      let text = "";
      for await (const event of model.chat(MESSAGES, QUESTIONS[question]))
        if (event.type === "text") text += event.text;
      return text;
    };
    const texts = [await wanted("a text by a regular expression"), await wanted("a text")];
    await model.close();
    const [system, user] = MESSAGES.map(({ content }) => content);
    expect(await call("adapted", system, user, GREEDY.maxTokens)).toEqual(texts);
  });

  it("goes on with a saved session", async () => {
    const [first, straight, restored] = await call<string[]>("restored", "Once upon a time", GREEDY);
    expect(first).not.toBe("");
    expect(restored).toBe(straight);
  });
});
