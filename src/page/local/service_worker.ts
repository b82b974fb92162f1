// The page's service worker: keeps its files for offline use, and serves them with the headers that
// make a page cross-origin isolated. Requests to others, and for models, go by it.

/** What `hotset page` has written in front: the files beside the page, and a digest of them. */
interface Build {
  readonly files: readonly string[];
  readonly digest: string;
}

interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
interface Scope {
  readonly hotsetBuild: Build;
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  addEventListener(type: "install" | "activate", listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: "message", listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
}

const scope = globalThis as unknown as Scope;
const { files, digest } = scope.hotsetBuild;
const PREFIX = `hotset ${scope.registration.scope} `;
const CACHE = PREFIX + digest;
const addresses = new Set(files.map((file) => new URL(file, scope.registration.scope).href));
const HOME = new URL("./", scope.registration.scope).href;
const ENGINE = new URL("engine.js", scope.registration.scope).href;
const INDEX = new URL("index.html", scope.registration.scope).href;

/** Keeps those of the files that are not kept yet. */
async function keep(wanted: readonly string[]): Promise<void> {
  const cache = await caches.open(CACHE);
  const missing: Request[] = [];
  for (const address of wanted)
    if (!(await cache.match(address))) missing.push(new Request(address, { cache: "no-cache" }));
  await cache.addAll(missing);
}

// A first visit waits for this before it is isolated: the engine, which is large, comes later.
scope.addEventListener("install", (event) => event.waitUntil(keep([...addresses].filter((one) => one !== ENGINE))));

// The page runs, and has time.
scope.addEventListener("message", (event) => event.waitUntil(keep([...addresses])));

scope.addEventListener("activate", (event) => {
  const tidy = async (): Promise<void> => {
    for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
    await scope.clients.claim();
  };
  event.waitUntil(tidy());
});

scope.addEventListener("fetch", (event) => {
  const { url, method } = event.request;
  const plain = url.replace(/[?#].*$/, "");
  const address = plain === HOME ? INDEX : plain;
  if (method === "GET" && addresses.has(address)) event.respondWith(kept(address));
});

async function kept(address: string): Promise<Response> {
  const cache = await caches.open(CACHE);
  const found = (await cache.match(address)) ?? (await fetch(address));
  const headers = new Headers(found.headers);
  headers.set("cross-origin-opener-policy", "same-origin");
  headers.set("cross-origin-embedder-policy", "require-corp");
  headers.set("cross-origin-resource-policy", "same-origin");
  const { status, statusText } = found;
  return new Response(found.body, { status, statusText, headers });
}
