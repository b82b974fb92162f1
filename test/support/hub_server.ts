// A model hub on loopback that speaks the wire format of huggingface.co: models, trees in pages,
// resolve with redirects to a second host for large files, ranges, error codes.

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { onTestFinished } from "vitest";

export interface HubRepo {
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Needs an accepted licence: only these tokens may read files. */
  readonly gatedFor?: readonly string[];
  /** Only these tokens see it at all. */
  readonly privateFor?: readonly string[];
  /** Branch -> commit; default: main. */
  readonly refs?: Readonly<Record<string, string>>;
}

export interface Faults {
  /** Called for each request to the second host: may answer it, or return false. */
  onCdn?(request: IncomingMessage, response: ServerResponse, body: Uint8Array): boolean;
  /** Answers whole files, whatever range is asked for. */
  ignoreRanges?: boolean;
  /** Bytes a second of the second host, all connections together. */
  rate?: number;
}

export interface HubServer {
  readonly endpoint: string;
  /** The requests in order: host ("hub" or "cdn"), method, path, range, "token" if one came. */
  readonly log: string[];
  /** Bytes that the second host has sent. */
  sent(): number;
  /** Stores a file that a repository has got meanwhile. */
  add(bytes: Uint8Array): void;
  readonly faults: Faults;
}

/** As the hub's and its storage's, which pages of other origins may read. */
const EXPOSED =
  "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag,X-Xet-Hash";

/**
 * Lets pages of other origins read the answer. Returns true if the request only asked whether they
 * may.
 */
function crossOrigin(request: IncomingMessage, response: ServerResponse, origin: string): boolean {
  response.setHeader("access-control-allow-origin", origin);
  response.setHeader("access-control-expose-headers", EXPOSED);
  if (request.method !== "OPTIONS") return false;
  const headers = { "access-control-allow-headers": "authorization,range", "access-control-max-age": "86400" };
  response.writeHead(204, headers).end();
  return true;
}

/** Files from this size are stored by LFS. */
const LARGE = 100_000;
const PAGE = 4;

export const commitOf = (repo: string, ref: string): string =>
  createHash("sha1").update(`${repo}@${ref}`).digest("hex");
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const gitOid = (bytes: Uint8Array): string =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

/** Starts a hub. @param atEnd when it ends; default: with the test */
export async function hubServer(
  repos: Readonly<Record<string, HubRepo>>,
  faults: Faults = {},
  atEnd: (end: () => void) => void = onTestFinished,
): Promise<HubServer> {
  const log: string[] = [];
  let sent = 0;
  const note = (host: string, request: IncomingMessage): void => {
    const { range, authorization } = request.headers;
    log.push([host, request.method, request.url, range, authorization && "token"].filter(Boolean).join(" "));
  };

  const blobs = new Map<string, Uint8Array>();
  for (const { files } of Object.values(repos))
    for (const bytes of Object.values(files)) blobs.set(sha256(bytes), bytes);

  const send = (request: IncomingMessage, response: ServerResponse, bytes: Uint8Array, headers: object): void => {
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec((!faults.ignoreRanges && request.headers.range) || "") ?? [];
    const begin = Number(from ?? 0);
    const end = to ? Math.min(Number(to) + 1, bytes.length) : bytes.length;
    const part = bytes.subarray(begin, end);
    const range = from === undefined ? {} : { "content-range": `bytes ${begin}-${end - 1}/${bytes.length}` };
    response.writeHead(from === undefined ? 200 : 206, { ...headers, ...range, "content-length": part.length });
    if (request.method === "HEAD") return void response.end();
    if (faults.rate === undefined) {
      sent += part.length;
      return void response.end(part);
    }
    let at = 0;
    const timer = setInterval(() => {
      const piece = part.subarray(at, at + Math.ceil(faults.rate! / 100));
      at += piece.length;
      sent += piece.length;
      response.write(piece);
      if (at >= part.length) {
        clearInterval(timer);
        response.end();
      }
    }, 10);
    response.on("close", () => clearInterval(timer));
  };

  const cdn = createServer((request, response) => {
    if (crossOrigin(request, response, "*")) return;
    note("cdn", request);
    const bytes = blobs.get(request.url!.slice(1).split("?")[0]!);
    if (bytes === undefined) return void response.writeHead(403).end("AccessDenied");
    if (faults.onCdn?.(request, response, bytes)) return;
    send(request, response, bytes, { "content-type": "application/octet-stream" });
  });
  const cdnUrl = (await listen(cdn, atEnd)).replace("127.0.0.1", "localhost"); // another host, as the hub's

  const hub = createServer((request, response) => {
    if (crossOrigin(request, response, request.headers.origin ?? "https://huggingface.co")) return;
    note("hub", request);
    const url = new URL(request.url!, "http://hub");
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    const fail = (status: number, code: string | null, error: string): void => {
      response.writeHead(status, { "content-type": "application/json", ...(code && { "x-error-code": code }) });
      response.end(JSON.stringify({ error }));
    };
    const json = (value: unknown, headers: object = {}): void => {
      response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
    };
    if (token === "expired") return fail(401, null, "Invalid credentials in Authorization header");
    const found =
      /^\/api\/models\/(?<repo>[^/]+\/[^/]+)\/(?<verb>revision|tree)\/(?<ref>.+)$/.exec(url.pathname) ??
      /^\/(?<repo>[^/]+\/[^/]+)\/(?<verb>resolve)\/(?<ref>[^/]+)\/(?<path>.+)$/.exec(url.pathname);
    const { repo: name = "", verb, ref: encoded = "", path } = found?.groups ?? {};
    const repo = repos[name];
    const hidden = repo?.privateFor && !(token && repo.privateFor.includes(token));
    if (repo === undefined || hidden)
      return token === undefined
        ? fail(401, "RepoNotFound", "Invalid username or password.")
        : fail(404, "RepoNotFound", "Repository not found");
    const refs = repo.refs ?? { main: commitOf(name, "main") };
    const ref = decodeURIComponent(encoded);
    const commit = refs[ref] ?? Object.values(refs).find((one) => one === ref);
    if (commit === undefined) return fail(404, "RevisionNotFound", `Invalid rev id: ${ref}`);
    if (verb === "revision") {
      const siblings = Object.keys(repo.files).map((rfilename) => ({ rfilename }));
      const gated = repo.gatedFor ? "manual" : false;
      return json({ _id: "1", id: name, sha: commit, private: false, gated, downloads: 1, likes: 1, siblings });
    }
    if (verb === "tree") {
      const entries = treeOf(repo.files);
      const from = Number(url.searchParams.get("cursor") ?? 0);
      url.searchParams.set("cursor", String(from + PAGE));
      const next = `<${base}${url.pathname}?${url.searchParams}>; rel="next"`;
      return json(entries.slice(from, from + PAGE), from + PAGE < entries.length ? { link: next } : {});
    }
    if (repo.gatedFor && !(token && repo.gatedFor.includes(token)))
      return fail(token ? 403 : 401, "GatedRepo", `Access to model ${name} is restricted.`);
    const bytes = repo.files[decodeURIComponent(path!)];
    if (bytes === undefined) return fail(404, "EntryNotFound", "Entry not found");
    if (bytes.length < LARGE) {
      const headers = { etag: `"${gitOid(bytes)}"`, "x-repo-commit": commit, "accept-ranges": "bytes" };
      return send(request, response, bytes, headers);
    }
    response.writeHead(302, {
      location: `${cdnUrl}/${sha256(bytes)}?X-Amz-Signature=1`,
      "x-linked-size": bytes.length,
      "x-linked-etag": `"${sha256(bytes)}"`,
      "x-repo-commit": commit,
    });
    response.end("Found");
  });
  const base = await listen(hub, atEnd);
  return { endpoint: base, log, sent: () => sent, add: (bytes) => void blobs.set(sha256(bytes), bytes), faults };
}

function treeOf(files: HubRepo["files"]): object[] {
  const folders = new Set(
    Object.keys(files)
      .filter((path) => path.includes("/"))
      .map((path) => path.split("/")[0]!),
  );
  return [
    ...[...folders].map((path) => ({ type: "directory", oid: commitOf(path, ""), size: 0, path })),
    ...Object.entries(files).map(([path, bytes]) => {
      const entry = { type: "file", oid: gitOid(bytes), size: bytes.length, path };
      if (bytes.length < LARGE) return entry;
      const lfs = { oid: sha256(bytes), size: bytes.length, pointerSize: 134 };
      return { ...entry, oid: commitOf(path, "pointer"), lfs, xetHash: sha256(bytes) };
    }),
  ];
}

async function listen(server: Server, atEnd: (end: () => void) => void): Promise<string> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  atEnd(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
