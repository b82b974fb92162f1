// Serves folders to a cross-origin isolated page, which SharedArrayBuffer, and so threads, needs.

import { createReadStream, statSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html",
  js: "text/javascript",
  mjs: "text/javascript",
  wasm: "application/wasm",
  json: "application/json",
  css: "text/css",
};

/** Bytes of a read: with fewer, serving a model costs as much as loading it. */
const PIECE = 2 ** 20;

const ISOLATED = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
} as const;

export interface Site {
  /** The page at "/". */
  readonly page: string;
  /** "dist" -> the folder served under /dist/. */
  readonly folders: Readonly<Record<string, string>>;
}

export interface Served {
  readonly origin: string;
  close(): void;
}

/** Starts a server on a local port; 0: a free one. */
export async function serve(site: Site, wanted = 0): Promise<Served> {
  const server: Server = createServer((request, response) => answer(site, request, response));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(wanted, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function answer(site: Site, request: IncomingMessage, response: ServerResponse): void {
  const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
  if (path === "/") {
    response.writeHead(200, { ...ISOLATED, "content-type": "text/html" }).end(site.page);
    return;
  }
  const [, name = "", rest = ""] = /^\/([^/]+)\/(.+)$/.exec(path) ?? [];
  const folder = Object.hasOwn(site.folders, name) ? site.folders[name] : undefined;
  // A normalized absolute path has no "..": nothing outside the folder is served.
  const file = folder === undefined ? null : join(folder, normalize(`/${rest}`));
  const stats = file === null ? undefined : statSync(file, { throwIfNoEntry: false });
  if (file === null || !stats?.isFile()) {
    response.writeHead(404, ISOLATED).end();
    return;
  }
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  const first = range ? Number(range[1]) : 0;
  const last = range ? Math.min(Number(range[2]), stats.size - 1) : stats.size - 1;
  response.writeHead(range ? 206 : 200, {
    ...ISOLATED,
    "content-type": TYPES[file.split(".").at(-1) ?? ""] ?? "application/octet-stream",
    "content-length": last - first + 1,
    ...(range ? { "content-range": `bytes ${first}-${last}/${stats.size}` } : {}),
  });
  if (request.method === "HEAD" || stats.size === 0) response.end();
  else createReadStream(file, { start: first, end: last, highWaterMark: PIECE }).pipe(response);
}
