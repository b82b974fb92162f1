// Downloads from a hub on loopback: the wire format, the cache's layout, faults, kills.

import { createHash } from "node:crypto";
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { cachedModels, prepareRemoval } from "../../src/hub/node_models.ts";
import { placeOf } from "../../src/hub/node_place.ts";
import { pull, pulledPath } from "../../src/hub/node_pull.ts";
import type { PullOptions } from "../../src/hub/pull.ts";
import { titled } from "../support/fixtures.ts";
import { commitOf, type Faults, type HubRepo, hubServer } from "../support/hub_server.ts";
import { leftToCi } from "../support/level.ts";
import { generator } from "../support/random.ts";

const REPO = "acme/moe";
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const random = (bytes: number, seed: number): Uint8Array => {
  const next = generator(seed);
  return Uint8Array.from({ length: bytes }, () => next() * 256);
};
const SHARDS = {
  "model-00001-of-00002.safetensors": random(300_000, 1),
  "model-00002-of-00002.safetensors": random(200_000, 2),
};
const INDEX = text(JSON.stringify({ weight_map: { a: Object.keys(SHARDS)[0], b: Object.keys(SHARDS)[1] } }));
const FILES = {
  ".gitattributes": text("x"),
  "README.md": text("# a model"),
  "config.json": text("{}"),
  "model.safetensors.index.json": INDEX,
  ...SHARDS,
  "original/consolidated.00.pth": random(150_000, 3),
  "pytorch_model-00001-of-00001.bin": random(150_000, 4),
  "tokenizer.json": text('{"a": 1}'),
};
const NEEDED = ["config.json", "model.safetensors.index.json", ...Object.keys(SHARDS), "tokenizer.json"].sort();
const total = NEEDED.reduce((sum, path) => sum + FILES[path as keyof typeof FILES].length, 0);

/** A hub with one repository, and an empty cache that the settings point to. */
async function hub(repo: Partial<HubRepo> = {}, faults: Faults = {}, more: Record<string, HubRepo> = {}) {
  const server = await hubServer({ [REPO]: { files: FILES, ...repo }, ...more }, faults);
  const cache = mkdtempSync(join(tmpdir(), "hotset-hub-"));
  onTestFinished(() => rmSync(cache, { recursive: true, force: true }));
  for (const name of ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE"])
    vi.stubEnv(name, "");
  vi.stubEnv("HF_ENDPOINT", server.endpoint);
  vi.stubEnv("HF_HOME", cache);
  onTestFinished(() => void vi.unstubAllEnvs());
  return { server, folder: join(cache, "hub", "models--acme--moe") };
}

const quick = (options: PullOptions = {}) => pull(REPO, options);

describe("a pull", () => {
  it("brings the files that are needed into the layout of Python's cache", async () => {
    const { folder } = await hub();
    const seen: number[] = [];
    const { path, bytes, missing, commit } = await quick({ onProgress: (done, all) => seen.push(done / all) });
    expect({ bytes, missing: missing + INDEX.length, commit }).toEqual({
      bytes: total,
      missing: total,
      commit: commitOf(REPO, "main"),
    });
    expect(path).toBe(join(folder, "snapshots", commit));
    expect(readdirSync(path).sort()).toEqual(NEEDED);
    for (const name of NEEDED) {
      const contents = FILES[name as keyof typeof FILES];
      const sha = createHash(contents.length < 100_000 ? "sha1" : "sha256");
      if (contents.length < 100_000) sha.update(`blob ${contents.length}\0`);
      expect(readlinkSync(join(path, name))).toBe(`../../blobs/${sha.update(contents).digest("hex")}`);
      expect(Buffer.compare(readFileSync(join(path, name)), contents)).toBe(0);
    }
    expect(readFileSync(join(folder, "refs", "main"), "utf8")).toBe(commit);
    expect(readdirSync(join(folder, "blobs")).filter((name) => name.includes("."))).toEqual([]);
    expect(seen.at(-1)).toBe(1);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  it("is found by its name, and costs nothing when it is repeated", async () => {
    const { server } = await hub();
    await expect(placeOf(REPO)).rejects.toThrow("`hotset pull acme/moe` downloads a model of the hub");
    const { path } = await quick();
    const sent = server.sent();
    expect(await quick()).toMatchObject({ path, missing: 0 });
    expect(server.sent()).toBe(sent);
    expect([await placeOf(REPO), await pulledPath(`hf:${REPO}@main`)]).toEqual([path, path]);
    expect(server.log.filter((line) => line.includes("resolve"))).toHaveLength(NEEDED.length + 1); // one asks first
  });

  it("uses blobs of another commit", async () => {
    const old = commitOf(REPO, "old");
    const { server } = await hub({ refs: { main: commitOf(REPO, "main"), "refs/pr/1": old } });
    await quick();
    const sent = server.sent();
    const { path } = await pull(`hf:${REPO}@refs/pr/1`);
    expect(path).toContain(old);
    expect(server.sent()).toBe(sent);
  });

  it("goes on after an abort, and takes what came before", async () => {
    const { server, folder } = await hub({}, { rate: 400_000 });
    const controller = new AbortController();
    const stopped = quick({ signal: controller.signal, onProgress: (done) => done > 150_000 && controller.abort() });
    await expect(stopped).rejects.toThrow(/abort/i);
    expect(await pulledPath(REPO)).toBeNull();
    server.faults.rate = 10_000_000;
    const before = server.sent();
    const { path } = await quick();
    expect(server.sent() - before).toBeLessThan(400_000); // not all 500,000 again
    expect(
      Buffer.compare(
        readFileSync(join(path, "model-00001-of-00002.safetensors")),
        SHARDS["model-00001-of-00002.safetensors"],
      ),
    ).toBe(0);
    expect(readdirSync(join(folder, "blobs")).filter((name) => name.includes("."))).toEqual([]);
  });

  it("can be looked at while it comes: the note beside a file is replaced again and again", async () => {
    const { folder } = await hub();
    await quick();
    const note = join(folder, "blobs", "x.hotset.json");
    let over = false;
    const replaced = (async () => {
      while (!over) {
        await writeFile(`${note}.new`, "{}");
        await rename(`${note}.new`, note);
      }
    })();
    for (let looks = 0; looks < 50; looks++) {
      expect((await prepareRemoval(REPO)).bytes).toBeGreaterThanOrEqual(total);
      expect(await cachedModels()).toHaveLength(1);
    }
    over = true;
    await replaced;
  });

  it("asks before; no means nothing large", async () => {
    const { server } = await hub();
    const asked: unknown[] = [];
    const no = quick({ confirm: (plan) => !asked.push(plan) });
    await expect(no).rejects.toThrow("acme/moe was not downloaded");
    expect(asked).toMatchObject([{ name: REPO, repo: REPO, bytes: total, missing: total - INDEX.length, files: 5 }]);
    expect(server.log.filter((line) => line.startsWith("cdn"))).toEqual([]);
  });

  it("sends the token to the hub, and to no other host", async () => {
    const { server } = await hub({ gatedFor: ["hf_mine"] });
    vi.stubEnv("HF_TOKEN", "hf_mine");
    await quick();
    expect(server.log.filter((line) => line.startsWith("hub") && !line.endsWith("token"))).toEqual([]);
    const second = server.log.filter((line) => line.startsWith("cdn"));
    expect(second.length).toBeGreaterThan(0);
    expect(second.filter((line) => line.endsWith("token"))).toEqual([]);
  });

  it("reads the token that was stored", async () => {
    await hub({ gatedFor: ["hf_mine"] });
    writeFileSync(join(process.env.HF_HOME!, "token"), "hf_mine\n");
    await quick();
    vi.stubEnv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1");
    await expect(quick()).resolves.toMatchObject({ missing: 0 });
  });

  it("takes GGUF files by tag, and lists and removes them one by one", async () => {
    const gguf = {
      "m-Q4_K_M.gguf": random(120_000, 5),
      "Q8_0/m-Q8_0-00001-of-00002.gguf": random(110_000, 6),
      "Q8_0/m-Q8_0-00002-of-00002.gguf": random(110_000, 7),
    };
    await hub({ files: { "README.md": text("x"), ...gguf } });
    const { path } = await quick();
    expect(path.endsWith("m-Q4_K_M.gguf")).toBe(true);
    const parts = await pull(`${REPO}:Q8_0`);
    expect([parts.bytes, parts.path.endsWith("Q8_0/m-Q8_0-00001-of-00002.gguf")]).toEqual([220_000, true]);
    const listed = (await cachedModels()).map(({ name, bytes, refs }) => [name, bytes, refs[0]]);
    expect(listed).toEqual([
      [`hf:${REPO}/Q8_0/m-Q8_0-00001-of-00002.gguf`, 220_000, "main"],
      [`hf:${REPO}/m-Q4_K_M.gguf`, 120_000, "main"],
    ]);
    const removal = await prepareRemoval(`${REPO}:Q8_0`);
    expect([removal.bytes, await removal.remove()]).toEqual([220_000, 220_000]);
    expect((await cachedModels()).map(({ name }) => name)).toEqual([`hf:${REPO}/m-Q4_K_M.gguf`]);
    expect(await pulledPath(REPO)).toBe(path);
    await (await prepareRemoval(REPO)).remove();
    expect(await cachedModels()).toEqual([]);
    await expect(prepareRemoval(REPO)).rejects.toThrow(/no such model is in .*`hotset list` shows/);
  });

  it("keeps blobs that another commit has, when one is removed", async () => {
    const old = commitOf(REPO, "old");
    await hub({ refs: { main: commitOf(REPO, "main"), v1: old } });
    await quick();
    const { path } = await pull(`hf:${REPO}@v1`);
    expect(await (await prepareRemoval(`hf:${REPO}@main`)).remove()).toBe(0);
    expect(readFileSync(join(path, "config.json"), "utf8")).toBe("{}");
  });
});

describe("a pull says in a line what is wrong", () => {
  it.each<[string, Partial<HubRepo>, string, RegExp]>([
    [
      "acme/other",
      {},
      "",
      /^127.0.0.1:\d+ has no model acme\/other; if it is private, set HF_TOKEN to an access token$/,
    ],
    ["acme/other", {}, "hf_mine", /has no model acme\/other that the account of the token can see/],
    [REPO, { privateFor: ["hf_x"] }, "hf_mine", /has no model acme\/moe that the account/],
    [REPO, {}, "expired", /rejects the access token \(HF_TOKEN, .*\): it is wrong or has expired/],
    [REPO, { gatedFor: ["hf_x"] }, "", /acme\/moe is gated: accept its terms at http.*\/acme\/moe, then set HF_TOKEN/],
    [REPO, { gatedFor: ["hf_x"] }, "hf_mine", /acme\/moe is gated, and the account of the token has no access yet/],
    [`hf:${REPO}@v9`, {}, "", /acme\/moe has no revision v9/],
    [`${REPO}:Q4_0`, {}, "", /holds no GGUF model for acme\/moe:Q4_0/],
    ["nonsense", {}, "", /"nonsense": expected a name such as owner\/name/],
  ])("%s %j %s", async (name, repo, token, message) => {
    await hub(repo);
    vi.stubEnv("HF_TOKEN", token);
    const confirm = vi.fn(() => true);
    await expect(pull(name, { confirm })).rejects.toThrow(message);
    expect(confirm).not.toHaveBeenCalled();
  });

  it("no network, no hub, offline", async () => {
    await hub();
    vi.stubEnv("HF_ENDPOINT", "http://127.0.0.1:1025");
    await expect(quick()).rejects.toThrow(/^127.0.0.1:1025 cannot be reached: .*ECONNREFUSED/);
    vi.stubEnv("HF_ENDPOINT", "nowhere");
    await expect(quick()).rejects.toThrow(
      'HF_ENDPOINT: expected an address such as https://huggingface.co, found "nowhere"',
    );
    vi.stubEnv("HF_ENDPOINT", "https://me:secret@hub.example");
    await expect(quick()).rejects.toThrow(
      /^HF_ENDPOINT: expected an address without a user and a password; HF_TOKEN has the token$/,
    );
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    vi.stubEnv("HF_ENDPOINT", "");
    await expect(quick()).rejects.toThrow("HF_HUB_OFFLINE is set: acme/moe cannot be downloaded");
  });

  it("goes through the proxy of the environment", async () => {
    await hub();
    const asked: string[] = [];
    const proxy = createServer().on("connect", (request, socket: Socket) => {
      asked.push(request.url!);
      const [host, port] = request.url!.split(":");
      const other = connect(Number(port), host, () => {
        socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
        socket.pipe(other).pipe(socket);
      });
      for (const end of [socket, other]) end.on("error", () => {});
    });
    onTestFinished(() => {
      proxy.close();
      proxy.closeAllConnections();
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const address = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    vi.stubEnv("no_proxy", "localhost");
    for (const value of [`http://${address}`, address]) {
      asked.length = 0;
      vi.stubEnv("http_proxy", value);
      await quick();
      expect(asked.length).toBeGreaterThan(0);
      expect(asked.filter((host) => host.startsWith("localhost"))).toEqual([]);
    }
    for (const value of ["http://", "socks5://me:secret@127.0.0.1:1080", "a b"]) {
      vi.stubEnv("http_proxy", value);
      await expect(quick()).rejects.toThrow(
        /^HTTP_PROXY: expected the address of a proxy, such as http:\/\/proxy.example:3128, found one of another form$/,
      );
    }
  });

  it("contents that differ from the checksum are removed", async () => {
    const faults: Faults = {
      onCdn(_, response, body) {
        response
          .writeHead(206, { "content-range": `bytes 0-${body.length - 1}/${body.length}` })
          .end(body.map((x) => x ^ 1));
        return true;
      },
    };
    const { folder, server } = await hub({}, faults);
    await expect(quick()).rejects.toThrow(
      /acme\/moe\/model-00001.*: the SHA-256 of what came is [0-9a-f]{64}, and the hub says/,
    );
    expect(readdirSync(join(folder, "blobs")).filter((name) => name.includes("hotset"))).toEqual([]);
    delete server.faults.onCdn;
    await quick();
  });

  it("--verify finds a file that was changed on this disk, and the next pull mends it", async () => {
    await hub();
    const { path } = await quick();
    const file = join(path, "model-00002-of-00002.safetensors");
    const bytes = readFileSync(file);
    bytes[1000]! ^= 1;
    writeFileSync(file, bytes);
    await expect(quick()).resolves.toMatchObject({ missing: 0 });
    await expect(quick({ verify: true })).rejects.toThrow(
      /model-00002.*: its checksum is .*it was removed; run the pull again/,
    );
    await quick();
    await quick({ verify: true });
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
  });

  it("a cache that cannot be written; one that has all is not written to", async () => {
    const { folder } = await hub();
    const { path } = await quick();
    utimesSync(join(folder, "refs", "main"), 1, 1);
    await expect(quick()).resolves.toMatchObject({ path });
    expect(statSync(join(folder, "refs", "main")).mtimeMs).toBe(1000);
    vi.stubEnv("HF_HOME", join(path, "config.json")); // a file
    await expect(quick()).rejects.toThrow(
      /^the cache .*config.json.hub cannot be written: .*; let this user write it, or set HF_HUB_CACHE/,
    );
  });

  it("a half file of the wrong size in the cache is no model", async () => {
    await hub();
    const { path } = await quick();
    const file = join(path, "model-00001-of-00002.safetensors");
    const blob = join(path, readlinkSync(file));
    writeFileSync(blob, readFileSync(blob).subarray(0, 1000));
    await quick();
    expect(statSync(file).size).toBe(300_000);
  });

  it.skipIf(leftToCi)(titled("a server without ranges, and one that fails at first, serve too", leftToCi), async () => {
    const { server } = await hub({}, { ignoreRanges: true });
    await quick();
    await (await prepareRemoval(REPO)).remove();
    let failures = 2;
    server.faults.onCdn = (_, response) =>
      failures-- > 0 && response.writeHead(503, { "retry-after": "0" }).end() !== null;
    await quick();
    expect(failures).toBeLessThan(0);
  });
});
