// openInWorker() in Chromium, bundled by vite as an application is: Node's tokens and answers, of
// which the page's own thread computes none.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ChatEvent, open } from "../../src/index.ts";
import { MESSAGES, QUESTIONS, said } from "../support/application.ts";
import { noChromium, openSite, type Site } from "../support/chromium.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { PATIENT } from "../support/patience.ts";

const OPTIONS = { backend: "cpu", weights: "q4", context: 512 } as const;
const PROMPT = "Once upon a time";
const GREEDY = { temperature: 0, maxTokens: 24 } as const;

const APPLICATION = `
import { HotsetError, openInWorker, RequestError, WeightsError } from ${JSON.stringify(inRepo("dist/src/browser.js"))};
// What computes needs these: the page has them no more.
for (const name of ["instantiate", "instantiateStreaming", "compile", "Module", "Instance"]) WebAssembly[name] = undefined;
let model = null;
globalThis.load = async (place, options = {}) => {
  let last = null;
  model = await openInWorker(place, { ...options, onProgress: (...step) => void (last = step) });
  const { backend } = await model.stats();
  return { backend, warnings: model.warnings, last };
};
globalThis.loadPicked = async (names, options) => {
  const file = async (name) => new File([await (await fetch("/models/tales/" + name)).blob()], name);
  return load(await Promise.all(names.map(file)), options);
};
// A Files of the application's own.
globalThis.loadOwn = ({ broken, ...options }) => {
  const address = (name) => "/models/tales/" + name;
  const files = {
    label: "my shelf",
    list: async () => [],
    size: async (name) => {
      const { ok, headers } = await fetch(address(name), { method: "HEAD" });
      return ok ? Number(headers.get("content-length")) : null;
    },
    read: async (name, offset, into) => {
      if (name === broken) throw new WeightsError(name + " fell from my shelf");
      const range = "bytes=" + offset + "-" + (offset + into.length - 1);
      into.set(new Uint8Array(await (await fetch(address(name), { headers: { range } })).arrayBuffer()));
    },
    close: async () => void (globalThis.shut = true),
  };
  return load(files, { ...options, tokenizer: files });
};
globalThis.chat = async (messages, options) => {
  const events = [];
  for await (const event of model.chat(messages, options)) events.push(event);
  return events;
};
const tell = async (session, text, options) => {
  const ids = [];
  for await (const piece of session.generate(text, options)) ids.push(...piece.ids);
  return ids;
};
globalThis.story = (text, options) => tell(model.session(), text, options);
globalThis.restored = async (text, options) => {
  const session = model.session();
  await tell(session, text, options);
  const again = await model.restore(await session.save());
  const next = [...session.tokens, 13];
  return [again.tokens, session.tokens, await tell(session, next, options), await tell(again, next, options)];
};
globalThis.failing = async (call) => {
  const error = await call(model).catch((thrown) => thrown);
  const classes = { HotsetError, RequestError, WeightsError };
  return [Object.keys(classes).filter((name) => error instanceof classes[name]), String(error)];
};
globalThis.close = () => model.close();
globalThis.ready = true;
`;

describe.skipIf(noChromium)(titled("openInWorker() in Chromium", noChromium), () => {
  const folder = mkdtempSync(inRepo("dist/worker-"));
  let site: Site;
  let visit: Awaited<ReturnType<Site["visit"]>>;
  const call = <T>(name: string, ...args: unknown[]) =>
    visit.page.evaluate(`${name}(${args.map((arg) => JSON.stringify(arg)).join(", ")})`) as Promise<T>;
  type Loaded = { backend: { threads: number }; warnings: string[]; last: [number, number] };

  beforeAll(async () => {
    const input = join(folder, "application.js");
    writeFileSync(input, APPLICATION);
    const base = `/${relative(inRepo(""), folder)}/out/`;
    await build({
      root: folder,
      base,
      configFile: false,
      logLevel: "error",
      build: {
        outDir: "out",
        target: "es2023",
        rollupOptions: { input, output: { entryFileNames: "application.js" } },
      },
    });
    site = await openSite(`<!doctype html><script type="module" src="${base}application.js"></script>`);
  });
  afterAll(async () => {
    await site?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  describe("in an isolated page", () => {
    beforeAll(async () => {
      visit = await site.visit("/isolated");
    });

    it("gives Node's answers on two threads, none of them the page's", async () => {
      const { backend, warnings, last } = await call<Loaded>("load", "models/tales", { ...OPTIONS, threads: 2 });
      expect(backend.threads).toBe(2);
      expect(warnings).toEqual([]);
      expect(last[0]).toBe(last[1]);
      const model = await open(inRepo("models/tales"), { ...OPTIONS, threads: 2 });
      for (const [name, options] of Object.entries(QUESTIONS)) {
        const wanted: ChatEvent[] = [];
        for await (const event of model.chat(MESSAGES, options)) wanted.push(event);
        expect(said(await call<ChatEvent[]>("chat", MESSAGES, options)), name).toEqual(said(wanted));
      }
      await model.close();
      expect(visit.problems).toEqual([]);
    });

    it("goes on with a saved session", async () => {
      const [again, tokens, straight, restored] = await call<number[][]>("restored", PROMPT, GREEDY);
      expect(again).toEqual(tokens);
      expect(straight).toHaveLength(GREEDY.maxTokens);
      expect(restored).toEqual(straight);
    });

    it("throws the engine's errors in their classes", async () => {
      const [classes, text] = await visit.page.evaluate<[string[], string]>(
        "failing((model) => model.session().generate('A', { maxTokens: -1 }).next())",
      );
      expect(classes).toEqual(["HotsetError", "RequestError"]);
      expect(text).toMatch(/^RequestError: maxTokens/);
      const [missing] = await visit.page.evaluate<[string[], string]>("failing(() => load('models/nothing'))");
      expect(missing).toEqual(["HotsetError", "WeightsError"]);
      const [, draft] = await visit.page.evaluate<[string[], string]>(
        "failing(() => load('models/tales', { backend: 'cpu', draft: 'models/nothing' }))",
      );
      expect(draft).toMatch(/^WeightsError: draft: .*models\/nothing/);
    });

    const leaves = "leaves no worker when it is closed, with a draft model too, which changes no token";
    it.skipIf(leftToCi)(titled(leaves, leftToCi), async () => {
      const grammar = QUESTIONS["JSON by a schema"]; // it has a worker of its own
      const wanted = await call<number[]>("story", PROMPT, GREEDY);
      for (let round = 0; round < 4; round++) {
        const options = { ...OPTIONS, threads: 2, ...(round % 2 === 0 && { draft: "models/tales" }) };
        if (round > 0) await call("load", "models/tales", options);
        expect(await call("story", PROMPT, GREEDY)).toEqual(wanted);
        await call("chat", MESSAGES, grammar);
        await call("close");
        await expect.poll(() => visit.page.workers(), PATIENT).toHaveLength(0);
      }
    });
  });

  describe("in a page that is not isolated", () => {
    beforeAll(async () => {
      visit = await site.visit("/");
    });

    it("computes on one thread, and says so", async () => {
      const names = readdirSync(inRepo("models/tales")).filter((file) => !file.endsWith(".md"));
      const { backend, warnings } = await call<Loaded>("loadPicked", names, OPTIONS);
      expect(backend.threads).toBe(1);
      expect(warnings).toEqual([expect.stringMatching(/one thread.*not cross-origin isolated/)]);
      const model = await open(inRepo("models/tales"), { ...OPTIONS, threads: 1 });
      const ids: number[] = [];
      for await (const piece of model.session().generate(PROMPT, GREEDY)) ids.push(...piece.ids);
      await model.close();
      expect(await call("story", PROMPT, GREEDY)).toEqual(ids);
    });

    it.skipIf(leftToCi)(titled("reads a Files of the page's own", leftToCi), async () => {
      const model = await open(inRepo("models/tales"), { ...OPTIONS, threads: 1 });
      const ids: number[] = [];
      for await (const piece of model.session().generate(PROMPT, GREEDY)) ids.push(...piece.ids);
      await model.close();
      await call("close");
      await call("loadOwn", OPTIONS);
      expect(await call("story", PROMPT, GREEDY)).toEqual(ids);
      await call("close");
      expect(await visit.page.evaluate("shut")).toBe(true);
      const failed = `failing(() => loadOwn(${JSON.stringify({ ...OPTIONS, broken: "tokenizer.json" })}))`;
      const [classes, text] = await visit.page.evaluate<[string[], string]>(failed);
      expect(classes).toEqual(["HotsetError", "WeightsError"]);
      expect(text).toBe("WeightsError: tokenizer.json fell from my shelf");
      await call("load", "models/tales", OPTIONS);
    });

    it("rejects what waits where the worker ends without a word", async () => {
      const waiting = visit.page.evaluate<[string[], string]>(
        "failing(async (model) => { for await (const _ of model.session().generate('A', { ignoreEos: true })); })",
      );
      // A worker that is gone answers nothing, and may be gone before it answers this.
      void visit.page
        .workers()[0]!
        .evaluate("setTimeout(close)")
        .catch(() => {});
      const [classes, text] = await waiting;
      expect(classes).toEqual(["HotsetError"]);
      expect(text).toMatch(/has ended.*open the model again/);
    });

    it("starts from a file of the page's own server", async () => {
      await call("load", "models/tales", { ...OPTIONS, script: "dist/worker/engine.js" });
      expect(visit.page.workers().map((worker) => new URL(worker.url()).pathname)).toEqual(["/dist/worker/engine.js"]);
      await call("close");
      const [, text] = await visit.page.evaluate<[string[], string]>(
        "failing(() => load('models/tales', { script: 'dist/worker/none.js' }))",
      );
      expect(text).toMatch(/^DeviceError: .*script could not be loaded/);
    });
  });
});
