// Chat and grammars in a page, by a bundler as an application has one: the same answers as in Node.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ChatEvent, type ChatMessage, type ChatOptions, open } from "../../src/index.ts";
import { noChromium, openSite, type Site } from "../support/chromium.ts";
import { inRepo, titled } from "../support/fixtures.ts";

const OPTIONS = { backend: "cpu", weights: "q4", threads: 1, context: 512 } as const;
const MESSAGES: ChatMessage[] = [
  { role: "system", content: "You tell stories." },
  { role: "user", content: "Tell me of a fox." },
];
const SCHEMA = {
  type: "object",
  properties: { name: { type: "string", maxLength: 12 }, age: { type: "integer", minimum: 1, maximum: 99 } },
  required: ["name", "age"],
  additionalProperties: false,
};
const GREEDY = { temperature: 0, maxTokens: 40 } as const;
const CASES: Record<string, ChatOptions> = {
  "a text": GREEDY,
  "JSON by a schema": { ...GREEDY, responseFormat: { type: "json_schema", schema: SCHEMA, strict: true } },
  "a text by a regular expression": { ...GREEDY, responseFormat: { type: "regex", pattern: "[a-z]{3} [0-9]{2}" } },
  "a call of a tool": {
    temperature: 0,
    maxTokens: 120,
    tools: [{ name: "find", description: "Finds somebody.", parameters: SCHEMA }],
    toolChoice: "required",
  },
};

const APPLICATION = `
  import { open } from ${JSON.stringify(inRepo("dist/src/browser.js"))};
  let model = null;
  globalThis.load = async (options) => { model = await open(location.origin + "/models/tales", options); };
  globalThis.chat = async (messages, options) => {
    const events = [];
    for await (const event of model.chat(messages, options)) events.push(event);
    return events;
  };
  globalThis.restored = async (prompt, options) => {
    const tell = async (session, text) => {
      let all = "";
      for await (const piece of session.generate(text, options)) all += piece.text;
      return all;
    };
    const session = model.session();
    const first = await tell(session, prompt);
    const again = await model.restore(await session.save());
    return [first, await tell(session, prompt + first + "!"), await tell(again, prompt + first + "!")];
  };
  globalThis.ready = true;
`;

/** What an answer is, without what differs from run to run. */
const said = (events: readonly ChatEvent[]) =>
  events.map((event) => {
    if (event.type === "finish") return [event.reason, event.usage.promptTokens, event.usage.completionTokens];
    return event.type === "tool_call" ? [event.type, event.name] : [event.type, event.text];
  });

describe.skipIf(noChromium)(titled("bundled, in Chromium", noChromium), () => {
  const folder = mkdtempSync(inRepo("dist/bundled-"));
  let site: Site;
  let page: Awaited<ReturnType<Site["visit"]>>;
  const call = <T>(name: string, ...args: unknown[]) =>
    page.page.evaluate(`${name}(${args.map((arg) => JSON.stringify(arg)).join(", ")})`) as Promise<T>;

  beforeAll(async () => {
    const input = join(folder, "application.js");
    writeFileSync(input, APPLICATION);
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

  it.each(Object.entries(CASES))("gives Node's answer: %s", async (_, options) => {
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
    const schema = { type: "string", contentEncoding: "base64", format: "no such format" };
    const options = { responseFormat: { type: "json_schema", schema: { not: schema }, strict: true } };
    await expect(call("chat", MESSAGES, options)).rejects.toThrow(/RequestError/);
  });

  it("goes on with a saved session", async () => {
    const [first, straight, restored] = await call<string[]>("restored", "Once upon a time", GREEDY);
    expect(first).not.toBe("");
    expect(restored).toBe(straight);
  });
});
