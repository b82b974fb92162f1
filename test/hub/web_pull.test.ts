// Models by name in a page of Chromium: pulled into the origin private file system from a hub on
// loopback, with pages that are closed and crash in between.

import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import type { Page } from "playwright-core";
import { build } from "vite";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { open } from "../../src/index.ts";
import { noChromium, openSite, type Site } from "../support/chromium.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { commitOf, type Faults, type HubRepo, hubServer } from "../support/hub_server.ts";
import { leftToCi } from "../support/level.ts";
import { generator } from "../support/random.ts";

const REPO = "acme/moe";
const random = (bytes: number, seed: number): Uint8Array => {
  const next = generator(seed);
  return Uint8Array.from({ length: bytes }, () => next() * 256);
};
const talesFiles = (): Record<string, Uint8Array> =>
  Object.fromEntries(
    readdirSync(inRepo("models/tales")).map((name) => [name, readFileSync(inRepo(`models/tales/${name}`))]),
  );
const WEIGHTS = random(3_000_000, 1);
const GGUF = { "m-Q4_K_M.gguf": WEIGHTS };
const hex = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const STORY = { maxTokens: 12, temperature: 0 } as const;
const OPTIONS = { backend: "cpu", weights: "q4", threads: 1, context: 256 } as const;

/** The first byte that requests ask of a file, but for the one that asks whether they may. */
const firstByte = (log: readonly string[]): number =>
  Math.min(...log.flatMap((line) => /^cdn .* bytes=(\d+)-(?!0$)/.exec(line)?.[1] ?? []).map(Number));

/** What a page's functions return: a failure is its error's name and message. */
const APPLICATION = `
  import * as hotset from ${JSON.stringify(inRepo("dist/src/browser.js"))};
  const tried = async (work) => work().catch((error) => error.name + ": " + error.message);
  globalThis.progress = [];
  globalThis.pull = (name, { confirm = true, abortAt, ...options }) => tried(() => {
    const controller = new AbortController();
    globalThis.progress = [];
    globalThis.abort = () => controller.abort(new Error("enough"));
    return hotset.pull(name, {
      ...options,
      signal: controller.signal,
      confirm: () => confirm,
      onProgress: (done, total) => {
        globalThis.progress.push(done);
        if (done >= abortAt) controller.abort(new Error("enough"));
      },
    });
  });
  globalThis.list = () => tried(hotset.cachedModels);
  globalThis.storage = () => hotset.pageStorage();
  globalThis.remove = (name) => tried(async () => (await hotset.prepareRemoval(name)).remove());
  globalThis.story = (name, options, story) => tried(async () => {
    const model = await hotset.open(name, options);
    let text = "";
    for await (const piece of model.session().generate("Once", story)) text += piece.text;
    await model.close();
    return text;
  });
  // Every stored file: its path, size and SHA-256.
  globalThis.stored = async () => {
    const found = {};
    const visit = async (folder, path) => {
      for await (const [name, entry] of folder.entries())
        if (entry.kind === "directory") await visit(entry, path + name + "/");
        else {
          const bytes = await (await entry.getFile()).arrayBuffer();
          const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
          found[path + name] = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
        }
    };
    await visit(await navigator.storage.getDirectory(), "");
    return found;
  };
  globalThis.damage = async (...path) => {
    let folder = await navigator.storage.getDirectory();
    for (const name of path.slice(0, -1)) folder = await folder.getDirectoryHandle(name);
    const stream = await (await folder.getFileHandle(path.at(-1))).createWritable({ keepExistingData: true });
    await stream.write({ type: "write", position: 1000, data: new Uint8Array([1, 2, 3]) });
    await stream.close();
  };
  globalThis.ready = true;
`;

describe.skipIf(noChromium)(titled("models of the hub in a page", noChromium), () => {
  const folder = mkdtempSync(inRepo("dist/hub-page-"));
  const profile = mkdtempSync(join(tmpdir(), "hotset-profile-"));
  let site: Site;
  let page: Page;

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
      build: { outDir: "out", target: "es2023", minify: false, rollupOptions: { input, output } },
    });
    site = await openSite(`<!doctype html><script type="module" src="${base}application.js"></script>`, profile);
    page = await visit();
  });
  afterEach(async () => {
    const models = await call<readonly { name: string }[]>("list");
    for (const name of new Set(models.map((model) => model.name.replace(/^hf:([^/]+\/[^/]+).*/, "$1"))))
      await call("remove", name);
    await call("remove", REPO); // what is not whole
  });
  afterAll(async () => {
    await site?.close();
    rmSync(folder, { recursive: true, force: true });
    rmSync(profile, { recursive: true, force: true });
  });

  const visit = async (): Promise<Page> => (await site.visit("/isolated")).page;
  const call = <T>(name: string, ...args: unknown[]): Promise<T> => callIn(page, name, ...args);
  const callIn = <T>(where: Page, name: string, ...args: unknown[]) =>
    where.evaluate(`${name}(${args.map((arg) => JSON.stringify(arg)).join(", ")})`) as Promise<T>;
  const quota = async (bytes?: number): Promise<void> => {
    const session = await page.context().newCDPSession(page);
    const origin = new URL(page.url()).origin;
    await session.send(
      "Storage.overrideQuotaForOrigin",
      bytes === undefined ? { origin } : { origin, quotaSize: bytes },
    );
  };

  /** A hub, and a pull from it in the page. */
  async function hub(repos: Record<string, HubRepo>, faults: Faults = {}) {
    const server = await hubServer(repos, faults);
    const pull = (name: string, options: object = {}, where = page) =>
      callIn<{ path: string; bytes: number; missing: number; commit: string } | string>(where, "pull", name, {
        endpoint: server.endpoint,
        ...options,
      });
    return { server, pull };
  }

  it("a model is pulled, opened by its name, listed and removed", async () => {
    const files = talesFiles();
    const { server, pull } = await hub({ "acme/tales": { files } });
    expect(await call("story", "hf:acme/tales", OPTIONS, STORY)).toBe(
      "WeightsError: hf:acme/tales: no such model is in this browser's storage; pull() downloads a model of the hub",
    );
    const before = await call<{ used: number }>("storage");
    const pulled = await pull("acme/tales");
    const commit = commitOf("acme/tales", "main");
    expect(pulled).toMatchObject({ commit, path: `hf:acme/tales@${commit}` });
    const progress = await page.evaluate<number[]>("progress");
    expect(progress.at(-1)).toBe((pulled as { bytes: number }).bytes);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));

    const model = await open(inRepo("models/tales"), OPTIONS);
    let wanted = "";
    for await (const { text } of model.session().generate("Once", STORY)) wanted += text;
    await model.close();
    for (const name of ["hf:acme/tales", "acme/tales", `hf:acme/tales@${commit}`])
      expect(await call("story", name, OPTIONS, STORY), name).toBe(wanted);

    const sent = server.sent();
    expect(await pull("acme/tales", { verify: true })).toMatchObject({ missing: 0 });
    expect(server.sent()).toBe(sent);
    const listed = await call<object[]>("list");
    expect(listed).toMatchObject([{ name: "acme/tales", refs: ["main"], commit, path: `hf:acme/tales@${commit}` }]);
    const stored = await call<{ used: number; quota: number }>("storage");
    expect(stored.used - before.used).toBeGreaterThan(files["model.safetensors"]!.length);
    expect(stored.quota).toBeGreaterThan(stored.used);
    expect(await call("remove", "acme/tales")).toBeGreaterThan(files["model.safetensors"]!.length);
    expect([await call("list"), await call("stored")]).toEqual([[], {}]);
    expect(await call("remove", "acme/tales")).toMatch(
      /^WeightsError: acme\/tales: no such model is in this browser's/,
    );
  });

  it.skipIf(leftToCi)(
    titled("a page without storage opens URLs, and says of names what is wrong", leftToCi),
    async () => {
      const other = await visit();
      await other.evaluate(
        `navigator.storage.getDirectory = () => Promise.reject(new DOMException("no", "SecurityError"))`,
      );
      const told =
        /^HubError: this page has no storage for models .*: serve it over https or from localhost, and not in/;
      expect(await callIn(other, "story", "hf:acme/tales", OPTIONS, STORY)).toMatch(told);
      expect(await callIn(other, "pull", "acme/tales", { endpoint: "http://127.0.0.1:1" })).toMatch(told);
      expect(await callIn(other, "story", "models/tales", OPTIONS, STORY)).not.toMatch(/Error/);
      await other.close();
    },
  );

  it.skipIf(leftToCi)(titled("pages that are closed and crash lose only their last moment", leftToCi), async () => {
    const { server, pull } = await hub({ [REPO]: { files: GGUF } }, { rate: 1_500_000 });
    const starts: number[] = [];
    for (let kill = 0; kill < 6; kill++) {
      const other = await visit();
      const begun = async (): Promise<void> => {
        for (let said: unknown = "another page"; String(said).includes("another page"); )
          said = await pull(REPO, {}, other).catch(() => null); // the page goes away
      };
      void begun(); // the browser may take a moment to free the files of the page before
      await other.waitForFunction("progress.length > 3");
      starts.push((await other.evaluate<number[]>("progress"))[0]!);
      if (kill % 2 === 0) await other.close();
      else {
        await other.goto("chrome://crash").catch(() => {}); // the process ends without a farewell
        await other.close();
      }
    }
    server.faults.rate = 50_000_000;
    const before = server.log.length;
    await expect.poll(() => pull(REPO)).toMatchObject({ bytes: WEIGHTS.length });
    expect(starts[0]).toBe(0);
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    expect(starts.at(-1)).toBeGreaterThan(100_000);
    expect(Object.values(await call<object>("stored"))).toContain(hex(WEIGHTS));
    expect(firstByte(server.log.slice(before))).toBeGreaterThanOrEqual(starts.at(-1)!);
    expect(Object.keys(await call<object>("stored"))).toHaveLength(2); // the file, and the repository's note
  });

  it("an aborted pull goes on where it was; meanwhile a second page is refused", async () => {
    const { server, pull } = await hub({ [REPO]: { files: GGUF } }, { rate: 400_000 });
    const first = pull(REPO);
    const other = await visit();
    await page.waitForFunction("progress.at(-1) > 300000");
    expect(await pull(REPO, {}, other)).toMatch(
      /^HubError: .* another page is writing it: wait for that one, or close it$/,
    );
    expect(await callIn(other, "remove", REPO)).toMatch(/^HubError: acme\/moe is in use: a page is downloading it/);
    await other.close();
    await call("abort");
    expect(await first).toBe("Error: enough");
    server.faults.rate = 50_000_000;
    const before = server.log.length;
    expect(await pull(REPO)).toMatchObject({ bytes: WEIGHTS.length });
    expect(firstByte(server.log.slice(before))).toBeGreaterThan(200_000);
    expect(await call("stored")).toMatchObject({ [`hotset-hub/acme--moe/blobs/${hex(WEIGHTS)}`]: hex(WEIGHTS) });
  });

  it.skipIf(leftToCi)(titled("what has changed on the hub is noticed", leftToCi), async () => {
    const refs = { main: commitOf(REPO, "old") };
    const files: Record<string, Uint8Array> = { ...GGUF };
    const { server, pull } = await hub({ [REPO]: { files, refs } }, { rate: 1_500_000 });
    expect(await pull(REPO, { abortAt: 300_000 })).toBe("Error: enough");
    server.faults.rate = 50_000_000;
    // Another file of the same name: what came of the first is not taken for it.
    const changed = random(2_000_000, 2);
    files["m-Q4_K_M.gguf"] = changed;
    server.add(changed);
    refs.main = commitOf(REPO, "new");
    expect(await pull(REPO)).toMatchObject({ commit: refs.main, bytes: changed.length, missing: changed.length });
    // The storage sends other bytes than the hub has listed.
    refs.main = commitOf(REPO, "third");
    const third = random(2_500_000, 3);
    files["m-Q4_K_M.gguf"] = third;
    server.add(third);
    server.faults.onCdn = (_, response, body) =>
      response
        .writeHead(206, { "content-range": `bytes 0-${body.length - 1}/${body.length}` })
        .end(body.map((x) => x ^ 1)) !== null;
    expect(await pull(REPO)).toMatch(
      /^HubError: acme\/moe\/m-Q4_K_M.gguf: the SHA-256 of what came is .* was removed; download it again$/,
    );
    server.faults.onCdn = (_, response, body) =>
      response.writeHead(206, { "content-range": `bytes 0-99/${body.length + 1}` }).end() !== null;
    expect(await pull(REPO)).toMatch(
      /^HubError: .*expected bytes 0-.* found bytes 0-99\/2500001: the server has another file$/,
    );
    delete server.faults.onCdn;
    expect(await pull(REPO)).toMatchObject({ commit: refs.main, missing: third.length });
    const listed = await call<{ commit: string; refs: string[] }[]>("list");
    expect(listed.map((model) => [model.commit, model.refs])).toEqual([
      [commitOf(REPO, "new"), []],
      [refs.main, ["main"]],
    ]);
    // A file that was changed in this browser.
    await call("damage", "hotset-hub", "acme--moe", "blobs", hex(third));
    expect(await pull(REPO, { verify: true })).toMatch(
      /^HubError: acme\/moe\/m-Q4_K_M.gguf: its checksum is .*run the pull again$/,
    );
    expect(await pull(REPO, { verify: true })).toMatchObject({ missing: third.length });
    // One revision is removed, and the other stays.
    expect(await call("remove", `hf:${REPO}@${commitOf(REPO, "new")}`)).toBe(changed.length);
    expect(await call("list")).toMatchObject([{ commit: refs.main, bytes: third.length }]);
  });

  it("a quota that is too small is told before the first byte, and takes nothing", async () => {
    const { server, pull } = await hub({ [REPO]: { files: GGUF } });
    try {
      await quota(2_000_000);
      expect(await pull(REPO)).toMatch(
        /^HubError: acme\/moe needs 0\.00 GB: the browser gives this page no more room: remove a model, or make room .*; a pull goes on where it was \(0\.00 GB of [\d.]+ GB are used\)$/,
      );
      expect([server.sent(), await call("stored")]).toEqual([1, {}]); // the byte that asks whether it may
    } finally {
      await quota();
    }
    expect(await pull(REPO)).toMatchObject({ bytes: WEIGHTS.length });
    expect(Object.values(await call<object>("stored"))).toContain(hex(WEIGHTS));
  });

  it.each<[string, object, string, RegExp]>([
    ["hf:acme/other", {}, "", /^HubError: 127.0.0.1:\d+ has no model acme\/other; if it is private, set HF_TOKEN/],
    [REPO, {}, "expired", /^HubError: 127.0.0.1:\d+ rejects the access token/],
    [REPO, { gatedFor: ["hf_x"] }, "", /^HubError: acme\/moe is gated: accept its terms at http/],
    [
      `${REPO}:Q2_K`,
      {},
      "",
      /^WeightsError: acme\/moe holds no GGUF model for acme\/moe:Q2_K; it holds m-Q4_K_M.gguf$/,
    ],
    ["nonsense", {}, "", /^RequestError: "nonsense": expected a name such as owner\/name/],
  ])("%s %j %s: one line says what to do", async (name, repo, token, message) => {
    const { pull } = await hub({ [REPO]: { files: GGUF, ...repo } });
    expect(await pull(name, token ? { token } : {})).toMatch(message);
  });

  it("the token goes to the hub only; no is an answer; parts below a folder are opened", async () => {
    const part = (no: number) => `Q8_0/m-Q8_0-0000${no}-of-00002.gguf`;
    const files = { [part(1)]: random(200_000, 5), [part(2)]: random(150_000, 6) };
    const { server, pull } = await hub({ [REPO]: { files, gatedFor: ["hf_mine"] } });
    const name = `${REPO}:Q8_0`;
    expect(await pull(name, { token: "hf_mine", confirm: false })).toBe(`RequestError: ${name} was not downloaded`);
    expect(await pull(name, { token: "hf_mine" })).toMatchObject({ bytes: 350_000 });
    const lines = (host: string) => server.log.filter((line) => line.startsWith(host));
    expect(lines("hub").filter((line) => !line.endsWith("token"))).toEqual([]);
    expect(lines("cdn").length).toBeGreaterThan(0);
    expect(lines("cdn").filter((line) => line.endsWith("token"))).toEqual([]);
    expect(await call("list")).toMatchObject([{ name: `hf:${REPO}/${part(1)}`, bytes: 350_000 }]);
    // Random bytes are no model; that they are read shows in the message.
    expect(await call("story", `hf:${name}`, OPTIONS, STORY)).toMatch(
      /^WeightsError: hf:acme\/moe\/Q8_0: m-Q8_0-00001/,
    );
    expect(await call("remove", name)).toBe(350_000);
    expect(await call("list")).toEqual([]);
  });
});
