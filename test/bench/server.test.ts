// The server of the page bench: isolation headers, ranges, and nothing from outside its folders.

import { request } from "node:http";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Served, serve } from "../../bench/peers/server.ts";
import { root } from "../support/cli.ts";

let served: Served;
beforeAll(async () => {
  served = await serve({ page: "<p>hello", folders: { bench: `${root}bench` } });
});
afterAll(() => served?.close());

it("isolates the page, so that it may share memory between threads", async () => {
  const response = await fetch(served.origin);
  expect(await response.text()).toBe("<p>hello");
  expect(response.headers.get("cross-origin-opener-policy")).toBe("same-origin");
  expect(response.headers.get("cross-origin-embedder-policy")).toBe("require-corp");
});

it("serves a file and a range of it", async () => {
  const whole = await (await fetch(`${served.origin}/bench/README.md`)).text();
  const part = await fetch(`${served.origin}/bench/README.md`, { headers: { range: "bytes=2-11" } });
  expect(part.status).toBe(206);
  expect(part.headers.get("content-range")).toBe(`bytes 2-11/${Buffer.byteLength(whole)}`);
  expect(await part.text()).toBe(whole.slice(2, 12));
});

it.each([
  "/bench/../package.json",
  "/bench/%2e%2e/package.json",
  "/bench/..%2fpackage.json",
  "/package.json",
  "/bench/",
])("%s: not found", async (path) => {
  // Not fetch, which would resolve the dots itself.
  const { hostname, port } = new URL(served.origin);
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const asked = request({ hostname, port, path }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    asked.on("error", reject).end();
  });
  expect(status).toBe(404);
});
