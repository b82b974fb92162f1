// The page that computes itself, as `hotset page` writes it, from a host of static files that sends
// no headers, below a sub-path, in Chromium.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePage } from "../../src/cli/page_files.ts";
import { RequestError } from "../../src/errors.ts";
import { type ChatEvent, open } from "../../src/index.ts";
import { LAUNCH, noChromium, patiently } from "../support/chromium.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { hubServer } from "../support/hub_server.ts";
import { PATIENT } from "../support/patience.ts";
import { axeFinds } from "./open_page.ts";
import { type StaticHost, staticHost } from "./static_host.ts";

const QUESTION = "Tell me of a fox.";
const talesFiles = readdirSync(inRepo("models/tales")).filter((name) => !name.endsWith(".md"));

describe("hotset page", () => {
  const out = mkdtempSync(join(tmpdir(), "hotset-page-"));
  afterAll(() => rmSync(out, { recursive: true, force: true }));

  it("replaces an earlier page, and nothing else", async () => {
    const { files } = await writePage(out, null);
    expect(files).toBeGreaterThan(8);
    writeFileSync(join(out, "own.txt"), "mine");
    await writePage(out, ["http://127.0.0.1:1", "https://storage.example"]);
    expect(readFileSync(join(out, "index.html"), "utf8")).toContain(
      "connect-src 'self' http://127.0.0.1:1 https://storage.example;",
    );
    expect(existsSync(join(out, "own.txt"))).toBe(true);
    rmSync(join(out, "hotset-page.json"));
    await expect(writePage(out, null)).rejects.toThrow(RequestError);
    expect(readFileSync(join(out, "own.txt"), "utf8")).toBe("mine");
  });

  it("names no other host but the hub's, and files that exist", () => {
    const html = readFileSync(join(out, "index.html"), "utf8");
    const named = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path!);
    expect(named.length).toBeGreaterThan(4);
    expect(named.filter((path) => !existsSync(join(out, path)))).toEqual([]);
  });
});

describe.skipIf(noChromium)(titled("the page that computes itself, in Chromium", noChromium), () => {
  const out = mkdtempSync(join(tmpdir(), "hotset-page-"));
  const profile = mkdtempSync(join(tmpdir(), "hotset-profile-"));
  let host: StaticHost;
  let context: BrowserContext;
  let page: Page;
  let wanted: string;
  const problems: string[] = [];
  const ends: (() => void)[] = [];
  const elsewhere: string[] = [];
  /** Where models come from by name. */
  let hub: string;

  // The page's policy allows no eval, which waitForFunction() needs.
  const until = (expression: string) =>
    expect.poll(() => page.evaluate(expression).catch(() => false), PATIENT).toBe(true);
  const opened = () => until("globalThis.hotset?.current.get()?.state === 'ready'");
  const answer = () =>
    page.evaluate(`(async () => {
      const request = {
        model: hotset.current.get().id,
        messages: [{ role: "user", content: ${JSON.stringify(QUESTION)} }],
        sampling: { temperature: 0, max_tokens: 24 },
      };
      let all = "";
      for await (const event of hotset.chat(request, new AbortController().signal)) all += event.text ?? "";
      return all;
    })()`);

  beforeAll(async () => {
    const files = Object.fromEntries(talesFiles.map((name) => [name, readFileSync(inRepo(`models/tales/${name}`))]));
    const atEnd = (end: () => void): void => void ends.push(end);
    hub = (await hubServer({ "acme/tales": { files } }, {}, atEnd)).endpoint;
    await writePage(out, [hub, "http://localhost:*"]); // its storage is another host
    host = await staticHost(out);
    context = patiently(await chromium.launchPersistentContext(profile, { ...LAUNCH, args: ["--no-sandbox"] }));
    page = await context.newPage();
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("request", (request) => {
      if (!request.url().startsWith(host.url) && !/^(data|blob):/.test(request.url())) elsewhere.push(request.url());
    });
    const model = await open(inRepo("models/tales"), { backend: "cpu" });
    const events: ChatEvent[] = [];
    const options = { temperature: 0, maxTokens: 24 };
    for await (const event of model.chat([{ role: "user", content: QUESTION }], options)) events.push(event);
    await model.close();
    wanted = events.map((event) => (event.type === "text" ? event.text : "")).join("");
  });
  afterAll(async () => {
    await context?.close();
    await host?.close();
    for (const end of ends) end();
    for (const folder of [out, profile]) rmSync(folder, { recursive: true, force: true });
  });

  it("is cross-origin isolated after its first visit's reload, by its service worker", async () => {
    await page.goto(host.url);
    await until("crossOriginIsolated && globalThis.hotset !== undefined");
    expect(await axeFinds(page)).toEqual([]);
  });

  it("opens picked files, keeps a copy, and answers as Node", async () => {
    await page.getByLabel("Choose files").setInputFiles(talesFiles.map((name) => inRepo(`models/tales/${name}`)));
    await opened();
    expect(await answer()).toBe(wanted);
    await page.getByRole("button", { name: "Go to the chat" }).click();
    const right = async (name: string): Promise<number> => {
      const { x, width } = (await page.getByRole("button", { name }).boundingBox())!;
      return x + width;
    };
    // The styles of the panel that opens models are its own: both buttons fit beside each other.
    expect(await right("New text")).toBeLessThan((await page.locator(".sidebar-inner").boundingBox())!.width);
    expect(await right("New chat")).toBeLessThan(await right("New text"));
    await page.getByRole("tab", { name: "Open" }).click();
    expect(await page.getByRole("button", { name: "Remove model.safetensors" }).count()).toBe(1);
    expect(elsewhere).toEqual([]);
  });

  it("says where the model's bytes are", async () => {
    await page.getByRole("tab", { name: "Model", exact: true }).click();
    const memory = page.getByRole("region", { name: "Memory" });
    await memory.getByText(/RAM: [\d.]+ MiB/).waitFor();
    await memory.getByText(/^Of it [\d.]+ [KM]iB are the KV cache, [\d.]+ [KM]iB scratch\.$/).waitFor();
    await page.getByRole("tab", { name: "Open" }).click();
  });

  it("shows its experts at work", async () => {
    const told = page.evaluate(`(async () => {
      const leave = new AbortController();
      const request = { model: hotset.current.get().id, prompt: "Once", sampling: { temperature: 0, max_tokens: 4 } };
      let [layers, tokens, running] = [0, 0, false];
      try {
        for await (const event of hotset.experts(request.model, leave.signal)) {
          if (event.type === "head") layers = event.head.layers.length;
          if (event.type !== "frame") continue;
          tokens += event.frame.tokens;
          if (tokens > 4) leave.abort();
          if (running) continue;
          running = true;
          void (async () => { for await (const _ of hotset.complete(request, new AbortController().signal)); })();
        }
      } catch (error) {
        if (!leave.signal.aborted) throw error;
      }
      return [layers, tokens > 4];
    })()`);
    expect(await told).toEqual([6, true]);
  });

  it("names copies by what was picked, keeps one of each, and lists none that is not whole", async () => {
    await page.evaluate(`(async () => {
      const root = await navigator.storage.getDirectory();
      const copies = await root.getDirectoryHandle("hotset-copies");
      for (const name of ["cut off", "cut off.part"]) await copies.getDirectoryHandle(name, { create: true });
    })()`);
    const other = (name: string, size: number) => ({ name, mimeType: "", buffer: Buffer.alloc(size) });
    const pick = (...files: ReturnType<typeof other>[]) => page.getByLabel("Choose files").setInputFiles(files);
    const kept = () => page.evaluate("hotset.kept().then((all) => all.map(({ id }) => id))");
    expect(await kept()).toEqual(["model.safetensors"]);
    const stored = () =>
      page.evaluate(`(async () => {
        const names = [];
        const root = await navigator.storage.getDirectory();
        for await (const name of (await root.getDirectoryHandle("hotset-copies")).keys()) names.push(name);
        return names;
      })()`);
    await expect.poll(stored, PATIENT).toEqual(["model.safetensors"]); // what was left takes no room
    await pick(other("model.safetensors", 100), other("config.json", 2));
    await expect.poll(kept, PATIENT).toEqual(["model.safetensors", "model.safetensors (2)"]);
    await page
      .getByRole("alert")
      .getByText(/^model\.safetensors \(2\)/)
      .waitFor(); // no model is in it
    await pick(other("model.safetensors", 100), other("config.json", 2));
    await page.getByRole("button", { name: "Remove model.safetensors (2)" }).click();
    await expect.poll(kept, PATIENT).toEqual(["model.safetensors"]);
  });

  it("downloads a model by its name from the hub, and from nowhere else", async () => {
    await page.getByLabel("Name of a model").fill("acme/tales");
    await page.getByLabel("Name of a model").press("Enter");
    await until("globalThis.hotset.current.get()?.id === 'acme/tales'");
    await opened();
    expect(await answer()).toBe(wanted);
    const hosts = new Set(elsewhere.map((url) => new URL(url).hostname));
    expect([...hosts].sort()).toEqual(["127.0.0.1", "localhost"]);
  });

  it("works after a reload with its host gone", async () => {
    await host.close();
    await page.reload();
    await until("crossOriginIsolated && globalThis.hotset !== undefined");
    await page.getByRole("button", { name: "Open acme/tales" }).click();
    await opened();
    expect(await answer()).toBe(wanted);
  });

  it("removes what it keeps", async () => {
    for (const name of ["acme/tales", "model.safetensors"])
      await page.getByRole("button", { name: `Remove ${name}` }).click();
    await page.getByText("None yet.").waitFor();
    expect(await page.evaluate("hotset.current.get()")).toBe(null);
    expect(problems).toEqual([]);
  });
});
