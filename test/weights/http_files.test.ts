// Folders below a URL, on hosts as there are: what each answers for a missing file, how it
// compresses, what it tells of sizes.

import { existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { describe, expect, it, onTestFinished } from "vitest";
import { open } from "../../src/browser.ts";
import { TEMPLATE_FILES } from "../../src/chat/template_files.ts";
import { WeightsError } from "../../src/errors.ts";
import { TOKENIZER_FILES } from "../../src/tokenizer/files.ts";
import { Coming } from "../../src/weights/coming.ts";
import { readBytes, readJson } from "../../src/weights/files.ts";
import { FOLDER_FILES } from "../../src/weights/folder.ts";
import { httpFiles } from "../../src/weights/http_files.ts";
import { JoinedReads } from "../../src/weights/joined_reads.ts";
import { inRepo } from "../support/fixtures.ts";

const PAGE = "<!doctype html><title>An application</title>";
const LARGE = Uint8Array.from({ length: 20 * 2 ** 20 + 5 }, (_, i) => (i * 7 + (i >> 8)) % 251);
const FOLDER: Readonly<Record<string, Uint8Array>> = {
  "config.json": Buffer.from(JSON.stringify({ words: "word ".repeat(500) })),
  "small.bin": LARGE.subarray(0, 1000),
  "large.bin": LARGE,
};

type Answer = (request: IncomingMessage, response: ServerResponse, name: string) => void;

/** The bytes that a request asks for, and what is said of them. */
function ranged(bytes: Uint8Array, request: IncomingMessage) {
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  const [first, last] = range
    ? [Number(range[1]), Math.min(Number(range[2]), bytes.length - 1)]
    : [0, bytes.length - 1];
  const headers = { "content-length": last - first + 1, "content-range": `bytes ${first}-${last}/${bytes.length}` };
  return { status: range ? 206 : 200, headers, body: bytes.subarray(first, last + 1) };
}

const plain: Answer = (request, response, name) => {
  const bytes = FOLDER[name];
  if (!bytes) return response.writeHead(404).end("nothing here");
  const { status, headers, body } = ranged(bytes, request);
  return response.writeHead(status, headers).end(request.method === "HEAD" ? undefined : body);
};
const without =
  (missing: (response: ServerResponse, request: IncomingMessage) => void): Answer =>
  (request, response, name) =>
    FOLDER[name] ? plain(request, response, name) : missing(response, request);
const compressed =
  (length: boolean): Answer =>
  (request, response, name) => {
    if (!name.endsWith(".json") || !FOLDER[name]) return plain(request, response, name);
    const body = gzipSync(FOLDER[name]);
    const headers = { "content-encoding": "gzip", ...(length && { "content-length": body.length }) };
    return response.writeHead(200, headers).end(request.method === "HEAD" ? undefined : body);
  };

/** What every one of these hosts must give. */
const HOSTS: Readonly<Record<string, Answer>> = {
  "answers 404 for a missing file": plain,
  "answers 410": without((response) => response.writeHead(410).end()),
  "answers its page for a missing file": without((response) =>
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(PAGE),
  ),
  "answers a range of its page": without((response, request) => {
    const { status, headers, body } = ranged(Buffer.from(PAGE), request);
    response.writeHead(status, { ...headers, "content-type": "text/html" }).end(body);
  }),
  "redirects to its page": without((response, request) => {
    if (request.url === "/app") response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
    else response.writeHead(302, { location: "/app" }).end();
  }),
  "may not say what is missing": without((response) => response.writeHead(403).end()),
  "compresses JSON": compressed(true),
  "compresses JSON as it goes": compressed(false),
  "refuses HEAD": (request, response, name) =>
    request.method === "HEAD" ? response.writeHead(405).end() : plain(request, response, name),
};

async function serve(answer: Answer): Promise<{ url: string; asked: { name: string; range?: string | undefined }[] }> {
  const asked: { name: string; range?: string | undefined }[] = [];
  const server = createServer((request, response) => {
    const name = decodeURIComponent(request.url!.slice(1));
    asked.push({ name, range: request.headers.range });
    answer(request, response, name);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

/** Bytes that come at once. */
function all(bytes: Uint8Array): Coming {
  return new Coming(
    (async function* () {
      yield bytes;
    })(),
  );
}

async function bytesAt(files: ReturnType<typeof httpFiles>, offset: number, length: number): Promise<Buffer> {
  const into = new Uint8Array(length);
  await files.read("large.bin", offset, into);
  return Buffer.from(into);
}

describe("a folder below a URL, on a host that", () => {
  it.each(Object.entries(HOSTS))("%s", async (_, answer) => {
    const { url } = await serve(answer);
    const files = httpFiles(url);
    files.soon!(["added_tokens.json", "config.json", "never_read.json"]);
    expect(await readJson(files, "config.json", 2 ** 20)).toEqual({ words: "word ".repeat(500) });
    for (const name of ["added_tokens.json", "sub/chat template.jinja"]) {
      expect(await readBytes(files, name, 2 ** 20)).toBeNull();
      expect(await files.size(name)).toBeNull();
    }
    for (const [name, { length }] of Object.entries(FOLDER))
      if (name.endsWith(".bin")) expect(await files.size(name)).toBe(length);
    // Across the ends of what is asked for at once, at the end of the file, and more than
    // that at once.
    for (const [offset, length] of [
      [0, 10],
      [2 ** 16 - 3, 6],
      [8 * 2 ** 20 - 3, 6],
      [LARGE.length - 5, 5],
      [1000, 9 * 2 ** 20],
    ] as const)
      expect((await bytesAt(files, offset, length)).equals(LARGE.subarray(offset, offset + length))).toBe(true);
    await files.close();
  });

  it("does not show a page of another origin where a range lies", async () => {
    const { url } = await serve(plain);
    const files = httpFiles(url, async (input, init) => {
      const response = await fetch(input, init);
      const headers = new Headers(response.headers);
      headers.delete("content-range");
      return new Response(response.body, { status: response.status, headers });
    });
    expect(await files.size("large.bin")).toBe(LARGE.length);
    expect((await bytesAt(files, 70_000, 9)).equals(LARGE.subarray(70_000, 70_009))).toBe(true);
  });

  it("knows no ranges: small files are read, and large ones refused with the reason", async () => {
    const { url } = await serve((_, response, name) => response.writeHead(FOLDER[name] ? 200 : 404).end(FOLDER[name]));
    const files = httpFiles(url);
    const small = new Uint8Array(10);
    await files.read("small.bin", 20, small);
    expect(small).toEqual(LARGE.subarray(20, 30));
    await expect(bytesAt(files, 70_000, 9)).rejects.toThrow(/answers no range requests/);
  });
});

describe("requests for a folder below a URL", () => {
  it("are few: neighbours are asked for together, small files once, and no shard for its size alone", async () => {
    const { url, asked } = await serve(plain);
    const files = httpFiles(url);
    await files.size("large.bin");
    for (let at = 0; at < LARGE.length; at += 50_000) await bytesAt(files, at, Math.min(50_000, LARGE.length - at));
    for (let i = 0; i < 3; i++) await readJson(files, "config.json", 2 ** 20);
    expect(asked.filter(({ name }) => name === "config.json")).toHaveLength(1);
    expect(asked.filter(({ name }) => name === "large.bin").length).toBeLessThanOrEqual(4);
    await Promise.all([bytesAt(files, 9 * 2 ** 20, 5), bytesAt(files, 9 * 2 ** 20 + 5, 5)]);
    expect(asked.length).toBeLessThanOrEqual(5);
  });

  it("are few for models/tales, which had 203", async () => {
    const { url, asked } = await serve((request, response, name) => {
      try {
        const { status, headers, body } = ranged(readFileSync(inRepo(`models/tales/${name}`)), request);
        response.writeHead(status, headers).end(body);
      } catch {
        response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
      }
    });
    const model = await open(url, { backend: "cpu", threads: 1, weights: "q4", context: 64 });
    let text = "";
    const options = { maxTokens: 8, temperature: 0 };
    for await (const piece of model.session().generate("Once upon a time", options)) text += piece.text;
    await model.close();
    expect(text).toBe(" there lived a man who had a son");
    expect(asked.length).toBeLessThan(20);
  });

  it("go out at once where the files are small", async () => {
    const beside = [...FOLDER_FILES.slice(1), ...TOKENIZER_FILES, ...TEMPLATE_FILES];
    const waiting = new Map<string, () => void>();
    const { url } = await serve((request, response, name) => {
      const answer = (): void => {
        const path = inRepo(`models/tales/${name}`);
        if (!existsSync(path)) return void response.writeHead(404).end();
        const { status, headers, body } = ranged(readFileSync(path), request);
        response.writeHead(status, headers).end(body);
      };
      if (!beside.includes(name)) return answer();
      waiting.set(name, answer);
      if (waiting.size === beside.length) for (const each of waiting.values()) each();
    });
    const model = await open(url, { backend: "cpu", threads: 1, weights: "q4", context: 64 });
    await model.close();
    expect(waiting.size).toBe(beside.length);
  });

  it("go out ahead of a reader that goes on", async () => {
    const block = 8 * 2 ** 20;
    const asked: number[] = [];
    const joined = new JoinedReads((_, offset, length) => {
      asked.push(offset / block);
      return all(new Uint8Array(length));
    });
    const size = 5 * block - 7;
    const into = new Uint8Array(10);
    await joined.read("large.bin", size, 5, into);
    expect(asked).toEqual([0, 1, 2]);
    await joined.read("large.bin", size, block + 5, into);
    expect(asked).toEqual([0, 1, 2, 3]);
    for (const _ of "again") await joined.read("large.bin", size, 2 * block, into);
    expect(asked).toEqual([0, 1, 2, 3, 4]);
    for (let at = 0; at < size; at += block) await joined.read("large.bin", size, at, into);
    expect(asked).toHaveLength(5);
    await joined.read("other.bin", size, 3 * block, into);
    expect(asked.slice(5)).toEqual([3]); // nothing is known of who reads on there
  });

  it("go out for the header of weights before it is known that there is a folder", async () => {
    let header = (): void => {};
    const asked = new Promise<void>((resolve) => {
      header = resolve;
    });
    const { url } = await serve(async (request, response, name) => {
      const path = inRepo(`models/tales/${name}`);
      if (!existsSync(path)) return void response.writeHead(404).end();
      if (name.endsWith(".safetensors")) header();
      if (name === "config.json") await asked; // for ever, if the header came after it
      const { status, headers, body } = ranged(readFileSync(path), request);
      response.writeHead(status, headers).end(body);
    });
    const model = await open(url, { backend: "cpu", threads: 1, weights: "q4", context: 64 });
    await model.close();
  });

  it("go out for the first weights while the vocabulary is read", async () => {
    let weights = (): void => {};
    const asked = new Promise<void>((resolve) => {
      weights = resolve;
    });
    const { url } = await serve(async (request, response, name) => {
      const path = inRepo(`models/tales/${name}`);
      if (!existsSync(path)) return void response.writeHead(404).end();
      const { range } = request.headers;
      if (name.endsWith(".safetensors") && range !== "bytes=0-65535") weights();
      if (name === "tokenizer.json") await asked; // for ever, if weights came after it
      const { status, headers, body } = ranged(readFileSync(path), request);
      response.writeHead(status, headers).end(body);
    });
    const model = await open(url, { backend: "cpu", threads: 1, weights: "q4", context: 64 });
    await model.close();
  });

  it("are read before all that was asked for is there", async () => {
    let finish = (): void => {};
    const { url } = await serve((request, response, name) => {
      const { status, headers, body } = ranged(FOLDER[name]!, request);
      response.writeHead(status, headers).write(body.subarray(0, 100_000));
      if (request.headers.range === "bytes=0-65535") response.end();
      else finish = () => response.end(body.subarray(100_000));
    });
    const files = httpFiles(url);
    expect((await bytesAt(files, 70_000, 9)).equals(LARGE.subarray(70_000, 70_009))).toBe(true);
    const late = bytesAt(files, 99_998, 5); // its request is the first one's
    finish();
    expect((await late).equals(LARGE.subarray(99_998, 100_003))).toBe(true);
  });

  it("are not joined for long where what lies between is not used", async () => {
    let fetched = 0;
    const joined = new JoinedReads((_, __, length) => {
      fetched += length;
      return all(new Uint8Array(length));
    });
    const into = new Uint8Array(10);
    for (let i = 0; i < 500; i++) await joined.read("huge.bin", 1e10, ((i * 7919) % 1000) * 10_000_000 + 3, into);
    expect(fetched).toBeLessThan(80 * 2 ** 20);
  });
});

describe("what goes wrong with a folder below a URL", () => {
  it.each<{ name: string; answer: Answer; message: RegExp }>([
    {
      name: "a server error",
      answer: (_, response) => response.writeHead(500).end(),
      message: /large\.bin: expected HTTP status 206 or 404, found 500/,
    },
    {
      name: "a connection that breaks",
      answer: (request, response, name) => {
        response.writeHead(206, ranged(FOLDER[name]!, request).headers).write("x");
        setTimeout(() => request.socket.destroy(), 20);
      },
      message: /large\.bin: the request failed: .*CORS/,
    },
    {
      name: "another range than the one asked for",
      answer: (request, response, name) => {
        const { headers, body } = ranged(FOLDER[name]!, request);
        response
          .writeHead(206, { ...headers, "content-range": `bytes 5-${5 + body.length - 1}/${LARGE.length}` })
          .end(body);
      },
      message: /large\.bin: asked for bytes=0-65535, found bytes 5-/,
    },
    {
      name: "a range cut short",
      answer: (request, response, name) => {
        const { headers, body } = ranged(FOLDER[name]!, request);
        const short = request.headers.range === "bytes=0-65535" ? body : body.subarray(1);
        response.writeHead(206, { ...headers, "content-length": short.length }).end(short);
      },
      message: /large\.bin: 8388608 bytes expected at byte 0, found 8388607/,
    },
    {
      name: "a whole file in place of a range",
      answer: (request, response, name) =>
        request.headers.range === "bytes=0-65535"
          ? plain(request, response, name)
          : response.writeHead(200, { "content-length": LARGE.length }).end(LARGE),
      message: /large\.bin: expected HTTP status 206 for bytes=\S+, found 200; the server must answer range requests/,
    },
  ])("is an error that names the file: $name", async ({ answer, message }) => {
    const { url } = await serve(answer);
    const failed = bytesAt(httpFiles(url), 70_000, 9);
    await expect(failed).rejects.toThrow(message);
    await expect(failed).rejects.toThrow(WeightsError);
  });

  it("is an error if no server listens, or if a small file is too large", async () => {
    const { url } = await serve(plain);
    await expect(readJson(httpFiles("http://127.0.0.1:1"), "config.json", 100)).rejects.toThrow(
      /127\.0\.0\.1:1\/config\.json: the request failed: .*CORS/,
    );
    await expect(readJson(httpFiles(url), "config.json", 100)).rejects.toThrow(/config\.json has more than 100 bytes/);
  });

  it("is asked for again after it failed", async () => {
    let times = 0;
    const { url } = await serve((request, response, name) =>
      times++ === 0 ? response.writeHead(503).end() : plain(request, response, name),
    );
    const files = httpFiles(url);
    await expect(bytesAt(files, 0, 5)).rejects.toThrow(/found 503/);
    expect((await bytesAt(files, 0, 5)).equals(LARGE.subarray(0, 5))).toBe(true);
  });

  it("ends with close(): a request that is under way rejects", async () => {
    const { url } = await serve((request, response, name) => {
      if (request.headers.range === "bytes=0-65535") plain(request, response, name);
    });
    const files = httpFiles(url);
    await files.size("large.bin");
    const waiting = bytesAt(files, 70_000, 9);
    await files.close();
    await expect(waiting).rejects.toThrow(/closed/);
  });
});
