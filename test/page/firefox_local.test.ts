// The page that computes itself, as `hotset page` writes it, in headless Firefox: threads by its
// service worker, picked files, answers, and no network.

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePage } from "../../src/cli/page_files.ts";
import { open } from "../../src/index.ts";
import { type Firefox, noFirefox, openFirefox } from "../support/firefox.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { PATIENT } from "../support/patience.ts";
import { type StaticHost, staticHost } from "./static_host.ts";

const skip = leftToCi ?? noFirefox;
const QUESTION = "Tell me of a fox.";
const SAMPLING = { temperature: 0, maxTokens: 16 } as const;

describe.skipIf(skip)(titled("the page that computes itself, in Firefox", skip), () => {
  const out = mkdtempSync(join(tmpdir(), "hotset-page-"));
  let host: StaticHost;
  let firefox: Firefox;
  let wanted = "";
  beforeAll(async () => {
    await writePage(out, null);
    host = await staticHost(out);
    firefox = await openFirefox();
    const model = await open(inRepo("models/tales"), { backend: "cpu" });
    for await (const event of model.chat([{ role: "user", content: QUESTION }], SAMPLING))
      if (event.type === "text") wanted += event.text;
    await model.close();
  });
  afterAll(async () => {
    await firefox?.close();
    await host?.close();
    rmSync(out, { recursive: true, force: true });
  });

  // The page may be about to be loaded again.
  const until = (expression: string) =>
    expect.poll(() => firefox.evaluate(expression).catch((error: Error) => error.message), PATIENT).toBe(true);
  const opened = () => until("hotset.current.get()?.state === 'ready'");
  const answer = () =>
    firefox.evaluate<{ text: string; threads: number }>(`(async () => {
      const { id, model } = hotset.current.get();
      const messages = [{ role: "user", content: ${JSON.stringify(QUESTION)} }];
      const sampling = { temperature: 0, max_tokens: ${SAMPLING.maxTokens} };
      let text = "";
      for await (const event of hotset.chat({ model: id, messages, sampling }, new AbortController().signal))
        text += event.text ?? "";
      const { backend } = await model.stats();
      return { text, threads: backend.threads };
    })()`);

  it("is cross-origin isolated after its first visit's reload", async () => {
    await firefox.goto(host.url);
    await until("crossOriginIsolated && globalThis.hotset !== undefined");
  });

  it("opens picked files, keeps a copy, and answers as Node on several threads", async () => {
    const names = readdirSync(inRepo("models/tales")).filter((name) => !name.endsWith(".md"));
    await firefox.setFiles(
      "input[type=file]:not([webkitdirectory])",
      names.map((name) => inRepo(`models/tales/${name}`)),
    );
    await opened();
    const { text, threads } = await answer();
    expect(text).toBe(wanted);
    expect(threads).toBeGreaterThan(1);
  });

  it("opens the copy after a reload with its host gone", async () => {
    await host.close();
    await firefox.goto(host.url);
    await until("crossOriginIsolated && globalThis.hotset !== undefined");
    await until("document.querySelector('[aria-label^=\"Open \"]') !== null");
    await firefox.evaluate("document.querySelector('[aria-label^=\"Open \"]').click()");
    await opened();
    expect((await answer()).text).toBe(wanted);
  });
});
