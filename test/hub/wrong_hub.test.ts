// Hubs on loopback that are busy, slow, lie or ask for what is not theirs.

import { mkdtempSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { pull } from "../../src/hub/node_pull.ts";
import { commitOf, hubServer } from "../support/hub_server.ts";

const REPO = "acme/moe";
const WEIGHTS = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) >> 3);
const FILES = { "config.json": new TextEncoder().encode("{}"), "model.safetensors": WEIGHTS };

/** Lets the settings point to a hub, and to an empty cache. @returns the folder of the blobs */
function settings(endpoint: string, token = ""): string {
  const home = mkdtempSync(join(tmpdir(), "hotset-hub-"));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  for (const name of ["HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE"])
    vi.stubEnv(name, "");
  vi.stubEnv("HF_ENDPOINT", endpoint);
  vi.stubEnv("HF_TOKEN", token);
  vi.stubEnv("HF_HOME", home);
  onTestFinished(() => void vi.unstubAllEnvs());
  return join(home, "hub", "models--acme--moe", "blobs");
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server that answers as a test says. */
async function server(answer: Answer): Promise<{ readonly url: string; readonly requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const http = createServer((request, response) => {
    requests.push(request);
    answer(request, response);
  });
  onTestFinished(() => {
    http.closeAllConnections();
    http.close();
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, requests };
}

const json = (response: ServerResponse, value: unknown, headers = {}): void =>
  void response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));

/** A hub whose repository has the files that `list` answers with. */
const listing = (list: Answer) =>
  server((request, response) => {
    if (!request.url!.includes("/revision/")) return list(request, response);
    json(response, { _id: "1", id: REPO, sha: commitOf(REPO, "main"), private: false, gated: false, siblings: [] });
  });

describe("a pull", () => {
  it.each([503, 429, 502])("asks again where the hub answers %i", async (status) => {
    const good = await hubServer({ [REPO]: { files: FILES } });
    const refused = new Set<string>();
    const hub = await server((request, response) => {
      // the first request for the commit, the list and the first byte is refused
      const small = request.headers.range === undefined || request.headers.range === "bytes=0-0";
      const first = small && !refused.has(request.url!);
      refused.add(request.url!);
      if (first) response.writeHead(status, { "retry-after": "0" }).end();
      else response.writeHead(307, { location: good.endpoint + request.url }).end();
    });
    settings(hub.url);
    await expect(pull(REPO)).resolves.toMatchObject({ bytes: 300_002 });
  });

  it("tells how long a hub that is too busy wants to be left alone", async () => {
    const date = new Date(Date.now() + 1_000_000).toUTCString();
    for (const [after, when] of [
      ["900", "in 900 s"],
      [date, "in (?:999|1000) s"],
    ] as const) {
      const hub = await server((_, response) => response.writeHead(429, { "retry-after": after }).end());
      settings(hub.url);
      await expect(pull(REPO)).rejects.toThrow(new RegExp(`answers 429: too many requests; try again ${when}`));
      expect(hub.requests).toHaveLength(1);
    }
  });

  it("sends the token to no other host that a list goes on at", async () => {
    const other = await server((_, response) => json(response, []));
    const hub = await listing((_, response) => json(response, [], { link: `<${other.url}/next>; rel="next"` }));
    settings(hub.url, "hf_mine");
    await expect(pull(REPO)).rejects.toThrow("it is empty");
    expect(hub.requests.map(({ headers }) => headers.authorization)).toEqual(["Bearer hf_mine", "Bearer hf_mine"]);
    expect(other.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  it("ends where a list does not, and where an answer is too large", async () => {
    let pages = 0;
    const hub = await listing((request, response) => {
      const next = new URL(request.url!, hub.url);
      next.searchParams.set("cursor", String(++pages));
      json(response, [], { link: `<${next}>; rel="next"` });
    });
    settings(hub.url);
    await expect(pull(REPO)).rejects.toThrow(/does not end its list of the files of acme\/moe/);
    expect(pages).toBeLessThan(1000);
    const piece = " ".repeat(2 ** 20);
    const large = await listing((_, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      const more = (): void => {
        while (response.write(piece));
      };
      response.on("drain", more);
      more();
    });
    settings(large.url);
    await expect(pull(REPO)).rejects.toThrow(/sends more than 16777216 bytes/);
  });

  it.each(["hf_a\nb", "my x", "hf_\u201cx\u201d", "hf_\u00fc"])(
    "does not quote a token that cannot be sent: %j",
    async (token) => {
      const hub = await server((_, response) => response.end());
      settings(hub.url, token);
      const error = await pull(REPO).catch((reason: Error) => reason);
      expect((error as Error).message).toMatch(/^the access token \(HF_TOKEN, .*\): expected letters and digits/);
      expect((error as Error).message).not.toContain(token);
      expect(hub.requests).toHaveLength(0);
    },
  );

  const config = { type: "file", path: "config.json", size: 2, oid: "0".repeat(40) };
  it.each<[string, object | null, RegExp]>([
    ["no size", { ...config, size: undefined }, /expected a file's path and size, found \{"path":"config.json"\}/],
    ["a size as text", { ...config, size: "2" }, /expected a file's path and size/],
    ["a size below 0", { ...config, size: -2 }, /expected a file's path and size/],
    ["a size that is no integer", { ...config, lfs: { oid: "a".repeat(64), size: 1e300 } }, /expected a file's path/],
    ["a path that is none", { ...config, path: 5 }, /expected a file's path and size/],
    ["a path that leads out", { ...config, path: "..\\config.json" }, /unsafe name of a file/],
    ["a digest that leads out", { ...config, oid: "../../x" }, /the hub gives no checksum of it/],
    ["a name that would move the cursor", { ...config, path: "\u001b[2Jx.gguf" }, /it holds weights.safetensors$/],
    ["nothing", null, /does not answer as the hub does/],
  ])("refuses a list with %s", async (_, entry, message) => {
    const others =
      entry && "path" in entry && String(entry.path).endsWith("gguf") ? "weights.safetensors" : "model.safetensors";
    const hub = await listing((_request, response) => json(response, [entry, { ...config, path: others }]));
    settings(hub.url);
    await expect(pull(REPO)).rejects.toThrow(message);
  });

  it("goes on where a file is shorter than its note says, as after a crash of the machine", async () => {
    const hub = await hubServer({ [REPO]: { files: FILES } }, { rate: 400_000 });
    const blobs = settings(hub.endpoint);
    const stop = new AbortController();
    const onProgress = (done: number): void => void (done > 150_000 && stop.abort());
    await expect(pull(REPO, { signal: stop.signal, onProgress })).rejects.toThrow(/abort/);
    truncateSync(join(blobs, readdirSync(blobs).find((name) => name.endsWith(".incomplete"))!), 100_000);
    hub.faults.rate = 1e8;
    const before = hub.sent();
    await expect(pull(REPO)).resolves.toMatchObject({ missing: 200_000 });
    expect(hub.sent() - before).toBeLessThan(200_100);
  });
});
