// The page in headless Firefox: over a server, and with the engine in a worker of the page.

import { readFileSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Model } from "../../src/engine/model.ts";
import { open } from "../../src/index.ts";
import { type RunningServer, startServer } from "../../src/server/node_serve.ts";
import { openTales } from "../server/real.ts";
import { pageOf, serve } from "../support/chromium.ts";
import { type Firefox, noFirefox, openFirefox } from "../support/firefox.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";

const skip = leftToCi ?? noFirefox;
const PROMPT = "Once upon a time";
const TOKENS = 16;
const GREEDY = { maxTokens: 8, temperature: 0 } as const;

/** What a person does, by the events that the browser would send. */
const PERSON = `
  const until = async (look) => {
    for (;;) {
      const found = look();
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const button = (name) => [...document.querySelectorAll("button")].find((one) => one.innerText.trim() === name);
  const write = (field, text) => {
    const kind = field instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(field, text);
    for (const event of ["input", "change"]) field.dispatchEvent(new Event(event, { bubbles: true }));
    return new Promise((resolve) => setTimeout(resolve, 100)); // drawn again
  };
`;

const WORKER = pageOf(
  { "@huggingface/tokenizers": "/node_modules/@huggingface/tokenizers/dist/tokenizers.mjs" },
  `
  import { openInWorker } from "/dist/src/browser.js";
  const packed = async () => {
    const names = [];
    const root = await navigator.storage.getDirectory();
    for await (const name of (await root.getDirectoryHandle("hotset-packed", { create: true })).keys()) names.push(name);
    return names;
  };
  globalThis.inWorker = async (options, prompt, generate) => {
    const model = await openInWorker(location.origin + "/models/tales", options);
    const ids = [];
    for await (const piece of model.session().generate(prompt, generate)) ids.push(...piece.ids);
    const { backend, experts } = await model.stats();
    const kept = await packed();
    await model.close();
    return { ids, threads: backend.threads, packed: experts?.packed, kept, left: await packed() };
  };
`,
);

describe.skipIf(skip)(titled("the page in Firefox", skip), () => {
  let model: Model;
  let server: RunningServer;
  let files: Server;
  let firefox: Firefox;
  beforeAll(async () => {
    model = await openTales({ context: 256 });
    server = await startServer(model.serving({ name: "tales", parallel: 4, queue: 64 }), { port: 0 });
    files = serve(WORKER);
    await new Promise<void>((resolve) => files.listen(0, "127.0.0.1", resolve));
    firefox = await openFirefox();
  });
  afterAll(async () => {
    await firefox?.close();
    files?.close();
    await server?.close();
    await model?.close();
  });

  it("continues a text, shows its tokens, and its experts at work", async () => {
    let wanted = "";
    const greedy = { temperature: 0, maxTokens: TOKENS } as const;
    for await (const { text } of model.session().generate(PROMPT, greedy)) wanted += text;
    await firefox.goto(`${server.url}/`);
    const told = await firefox.evaluate<{ text: string; tokens: number; map: string }>(`(async () => {
      ${PERSON}
      (await until(() => button("New text"))).click();
      await until(() => button("Continue"));
      await write(await until(() => document.querySelector("#parameter-temperature")), "0");
      await write(document.querySelector("#parameter-max_tokens"), "${TOKENS}");
      document.querySelector(".settings .check input").click();
      await write(document.querySelector("#message"), ${JSON.stringify(PROMPT)});
      button("Continue").click();
      const said = await until(() => {
        const message = document.querySelector(".message.assistant");
        return message && /tokens\\/s/.test(message.innerText) && message;
      });
      const text = said.innerText;
      const tokens = said.querySelectorAll(".token-text [data-at]").length;
      [...document.querySelectorAll("[role=tab]")].find((tab) => tab.innerText === "Experts").click();
      const map = (await until(() => document.querySelector("canvas"))).getAttribute("aria-label");
      return { text, tokens, map };
    })()`);
    expect(told.text).toContain(wanted.trim());
    expect(told.tokens).toBe(TOKENS);
    expect(told.map).toMatch(/^6 layers, from the top, by 8 experts/);
  });

  it.each([
    ["/", 1],
    ["/isolated", 2],
  ])(
    "has the engine in a worker, of a page at %s with %i threads: the tokens of the reference",
    async (path, threads) => {
      const { prompts } = JSON.parse(readFileSync(inRepo("models/tales/reference.json"), "utf8")) as {
        prompts: { prompt: string; greedy_ids: number[] }[];
      };
      const { prompt, greedy_ids } = prompts[0]!;
      await firefox.goto(`http://127.0.0.1:${(files.address() as AddressInfo).port}${path}`);
      const options = { backend: "cpu", weights: "f32", kv: "f32", threads: 2 };
      const args = [options, prompt, GREEDY].map((arg) => JSON.stringify(arg)).join(", ");
      const told = await firefox.evaluate<{ ids: number[]; threads: number }>(`inWorker(${args})`);
      expect(told).toMatchObject({ ids: greedy_ids.slice(0, 8), threads });
    },
  );

  it("keeps experts that had to be packed in its storage while a model is open", async () => {
    const options = { backend: "cpu", weights: "q4", kv: "f32", activations: "f32", context: 64, threads: 2 } as const;
    const whole = await open(inRepo("models/tales"), options);
    const wanted: number[] = [];
    for await (const { ids } of whole.session().generate(PROMPT, GREEDY)) wanted.push(...ids);
    await whole.close();
    const args = [{ ...options, expertSlots: 4 }, PROMPT, GREEDY].map((arg) => JSON.stringify(arg)).join(", ");
    const told = await firefox.evaluate<{ ids: number[]; packed: { bytes: number; refused: string | null } }>(
      `inWorker(${args})`,
    );
    expect(told).toMatchObject({ ids: wanted, packed: { refused: null }, kept: [expect.any(String)], left: [] });
    expect(told.packed.bytes).toBeGreaterThan(1e6);
  });
});
