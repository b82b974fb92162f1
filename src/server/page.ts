// GET / for people, and /page/*: the built page (src/page), with a strict Content-Security-Policy.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import type { Context } from "hono";
import { HttpError } from "./errors.ts";

/** Answers the page's paths. */
export interface Page {
  /** The page itself. */
  index(c: Context): Response;
  /** A file of /page/. @throws HttpError 404 */
  file(c: Context): Response;
}

/** Beside the compiled server, and where tests run the sources. */
const PLACES = ["../../page/", "../../dist/page/"].map((place) => new URL(place, import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".webmanifest": "application/manifest+json",
};

/** The page runs only what the server itself sends, and talks to the server only. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  vary: "accept, accept-encoding",
};
/** Names of files under /page/ carry a digest of what they hold. */
const FOR_EVER = "public, max-age=31536000, immutable";
/** Files of fewer bytes are sent as they are. */
const SMALL = 1024;

interface Asset {
  readonly type: string;
  readonly plain: Uint8Array<ArrayBuffer>;
  /** Null: not worth it. */
  readonly zipped: Uint8Array<ArrayBuffer> | null;
}

/** The built page; null where it has not been built. A file is read at its first request. */
export function openPage(): Page | null {
  const root = PLACES.find((place) => existsSync(new URL("index.html", place)));
  if (root === undefined) return null;
  const names = new Set(readdirSync(fileURLToPath(new URL("page/", root))));
  const read = new Map<string, Asset>();
  const send = (c: Context, path: string, caching: string): Response => {
    const asset = read.get(path) ?? readAsset(new URL(path, root));
    read.set(path, asset);
    const zip = asset.zipped !== null && /\bgzip\b/.test(c.req.header("accept-encoding") ?? "");
    const headers = { ...HEADERS, "content-type": asset.type, "cache-control": caching };
    return c.body(zip ? asset.zipped! : asset.plain, 200, { ...headers, ...(zip && { "content-encoding": "gzip" }) });
  };
  return {
    index: (c) => send(c, "index.html", "no-cache"),
    file(c) {
      const name = c.req.param("name") ?? "";
      if (!names.has(name)) throw new HttpError(404, `the page has no file ${JSON.stringify(name)}; reload the page`);
      return send(c, `page/${name}`, FOR_EVER);
    },
  };
}

function readAsset(file: URL): Asset {
  const plain = new Uint8Array(readFileSync(file));
  const type = TYPES[extname(file.pathname)] ?? "application/octet-stream";
  const zipped = plain.length < SMALL || type === "image/png" ? null : new Uint8Array(gzipSync(plain, { level: 9 }));
  return { type, plain, zipped };
}

/** Whether a person looks: browsers name HTML, programs and load balancers do not. */
export function wantsPage(c: Context): boolean {
  return c.req.method === "GET" && /\btext\/html\b/.test(c.req.header("accept") ?? "");
}
