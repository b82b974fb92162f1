// Activity: what is counted, and that it survives kills, torn files, clocks that are set back, and
// servers that share a folder, in bounded space.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { type Entry, entryIn, entryOf, lineOf } from "../../src/server/activity.ts";
import { createApp } from "../../src/server/app.ts";
import { type ActivityOptions, openActivity } from "../../src/server/node_activity.ts";
import type { RequestSummary } from "../../src/server/tracked_request.ts";
import { inRepo } from "../support/fixtures.ts";
import { fakeModel } from "./fake_model.ts";

const NOON = Date.UTC(2026, 10, 29, 12);
const MINUTE = 60_000;
const DAY = 1440 * MINUTE;

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "hotset-activity-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "activity");
}

const request = (more: Partial<RequestSummary> = {}): RequestSummary => ({
  ...{ id: "r", method: "POST", path: "/", endpoint: "/v1/chat/completions", client: null, forwardedFor: null },
  ...{ traceId: null, stream: true, status: 200, outcome: "ok", error: null, finish: ["stop"], queueMs: 0 },
  ...{ model: "m", key: null, promptTokens: 10, cachedTokens: 4, completionTokens: 3, firstTokenMs: 20, ms: 100 },
  ...more,
});

/** A log whose clock the test sets. */
function logOf(folder: string | null, at = NOON, options: ActivityOptions = {}) {
  const clock = { now: at };
  const log = openActivity(folder, { now: () => clock.now, flushMs: 1, ...options });
  onTestFinished(() => log.close());
  return { log, clock };
}

const bytesIn = (folder: string): number =>
  readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
const textOf = (folder: string): string =>
  readdirSync(folder)
    .map((name) => readFileSync(join(folder, name), "utf8"))
    .join("");

describe("what is counted", () => {
  it("by time, model and key: requests, tokens, latencies, errors and uptime", async () => {
    const { log, clock } = logOf(null);
    log.request(request());
    log.request(request({ model: "n", key: "ab12cd", firstTokenMs: 2000, ms: 4000 }));
    clock.now += 30 * MINUTE;
    log.request(request({ status: 503, model: null, promptTokens: 0, cachedTokens: 0, completionTokens: 0 }));
    const { all, models, keys, steps, from, step } = await log.read("hour");
    expect({ from, step }).toEqual({ from: NOON - 29 * MINUTE, step: MINUTE });
    expect(all).toMatchObject({
      requests: 3,
      errors: { 503: 1 },
      promptTokens: 20,
      cachedTokens: 8,
      completionTokens: 6,
    });
    for (const [found, real] of [
      [all.first!.median, 20],
      [all.first!.p95, 2000],
      [all.total!.p95, 4000],
    ] as const)
      expect(Math.abs(Math.log2(found / real))).toBeLessThan(0.25); // a class is a quarter of an octave
    expect(models.map(({ model, requests }) => [model, requests])).toEqual([
      ["m", 1],
      ["n", 1],
      [null, 1],
    ]);
    expect(keys.map(({ key, requests }) => [key, requests])).toEqual([
      [null, 2],
      ["ab12cd", 1],
    ]);
    expect(steps.map(({ requests }) => requests).filter((n) => n > 0)).toEqual([2, 1]);
    expect([steps[29]!.requests, steps[59]!.requests, steps[29]!.up, steps[30]!.up]).toEqual([2, 1, 1, 0]);
  });

  it("uptime is the part since the server first ran", async () => {
    const { log, clock } = logOf(null, NOON);
    expect((await log.read("day")).all.up).toBe(1);
    clock.now += 3 * 60_000; // it ran in the first of four minutes
    expect((await log.read("hour")).all.up).toBeCloseTo(1 / 4, 5);
  });

  it.each(["day", "30d"] as const)("in the steps of a %s", async (span) => {
    const { log, clock } = logOf(null);
    log.request(request());
    clock.now += span === "day" ? DAY / 2 : 20 * DAY;
    log.request(request());
    const { steps, all } = await log.read(span);
    expect(all.requests).toBe(2);
    expect(steps.filter(({ requests }) => requests === 1)).toHaveLength(2);
  });

  it("has nothing of what was said, no address and no key", async () => {
    const folder = temporary();
    const { log } = logOf(folder);
    log.request(request({ error: "secret", client: "203.0.113.9", path: "/secret", key: "ab12cd" }));
    await log.read("hour");
    expect(textOf(folder)).not.toMatch(/secret|203\.0/);
  });
});

describe("GET /hotset/activity", () => {
  const ask = (options: object, path = "/hotset/activity", headers = {}) =>
    createApp(fakeModel(), options).request(path, { headers });

  it("counts answers by the fingerprint of the key, and probes not at all", async () => {
    const { log } = logOf(null);
    const app = createApp(fakeModel(), { activity: log, apiKey: ["key one", "key two"] });
    const headers = { authorization: "Bearer key two", "content-type": "application/json" };
    const body = JSON.stringify({ messages: [{ role: "user", content: "hello" }] });
    expect((await app.request("/v1/chat/completions", { method: "POST", headers, body })).status).toBe(200);
    expect((await app.request("/v1/chat/completions", { method: "POST", body })).status).toBe(401);
    await app.request("/health");
    const found = await (await app.request("/hotset/activity?span=hour", { headers })).json();
    // printf "key two" | sha256sum
    expect(found).toMatchObject({
      span: "hour",
      kept: false,
      all: { requests: 2, errors: { 401: 1 }, completionTokens: 2 },
      keys: expect.arrayContaining([expect.objectContaining({ key: "c37ee9", requests: 1 })]),
    });
  });

  it.each([
    ["an unknown span", {}, "/hotset/activity?span=year", {}, 400],
    ["no key", { apiKey: "k" }, "/hotset/activity", {}, 401],
    ["a foreign page", {}, "/hotset/activity", { origin: "https://evil.example" }, 403],
  ])("%s", async (_, options, path, headers, status) => {
    expect((await ask({ activity: logOf(null).log, ...options }, path, headers)).status).toBe(status);
  });
});

describe("a server that counts nothing", () => {
  it("says so, which is no error", async () => {
    const response = await createApp(fakeModel()).request("/hotset/activity?span=hour");
    expect([response.status, await response.json()]).toEqual([200, { span: "hour", counted: false }]);
  });
});

describe("what is kept", () => {
  it("over restarts, and by servers that share the folder", async () => {
    const folder = temporary();
    const first = logOf(folder);
    const second = logOf(folder);
    for (let i = 0; i < 20; i++) for (const { log } of [first, second]) log.request(request());
    await first.log.read("hour");
    await second.log.close();
    const third = logOf(folder);
    expect(await third.log.read("hour")).toMatchObject({ kept: true, all: { requests: 40, promptTokens: 400 } });
    // Of servers that run at once a minute counts once.
    expect((await third.log.read("hour")).steps.at(-1)!.up).toBe(1);
  });

  it("a file that ends at any byte has all lines that are whole", async () => {
    const folder = temporary();
    mkdirSync(folder);
    const lines = [1, 2, 3].map((n) => lineOf({ ...entryOf(request({ model: `m${n}` }), NOON), requests: n }));
    const text = Buffer.from(lines.map((line) => `${line}\n`).join(""));
    const path = join(folder, "2026-11-29.a.jsonl");
    for (let cut = 0; cut <= text.length; cut++) {
      writeFileSync(path, text.subarray(0, cut));
      const found = text
        .subarray(0, cut)
        .toString()
        .split("\n")
        .flatMap((line) => entryIn(line) ?? []);
      // A line without its newline is whole all the same.
      const whole = lines.filter((_, i) => cut >= Buffer.byteLength(lines.slice(0, i + 1).join("\n"))).length;
      expect(found.map(({ requests }) => requests)).toEqual([1, 2, 3].slice(0, whole));
    }
    writeFileSync(path, `${text}{"t":1`);
    expect((await logOf(folder).log.read("hour")).all.requests).toBe(6);
  });

  it.each(["", "null", "[]", "{}", '{"t":-1,"w":1}', '{"t":1,"w":1,"n":1e99}', '{"t":1,"w":1,"e":{"__proto__x":1}}'])(
    "the line %s is passed over",
    (line) => {
      expect(entryIn(line)).toBeNull();
    },
  );

  it("in bounded space: a large file is replaced by its sums", async () => {
    const folder = temporary();
    const { log, clock } = logOf(folder, NOON - DAY / 2, { compactBytes: 20_000 });
    let most = 0;
    for (let i = 0; i < 600; i++) {
      clock.now += 1.19 * MINUTE; // some twelve hours
      log.request(request({ key: `key${i % 2}`, firstTokenMs: 20 + i }));
      await log.close(); // writes
      most = Math.max(most, bytesIn(folder));
    }
    expect(most).toBeLessThan(100_000);
    expect(textOf(folder).split("\n").length).toBeLessThan(500);
    expect((await logOf(folder, clock.now).log.read("day")).all).toMatchObject({ requests: 600, promptTokens: 6000 });
  });

  it("for 32 days, earlier days by the hour", async () => {
    const folder = temporary();
    mkdirSync(folder);
    const fileOf = (days: number): string =>
      join(folder, `${new Date(NOON - days * DAY).toISOString().slice(0, 10)}.x.jsonl`);
    for (const days of [5, 40]) {
      const entries = Array.from({ length: 120 }, (_, i): Entry => entryOf(request(), NOON - days * DAY + i * MINUTE));
      writeFileSync(fileOf(days), entries.map((entry) => `${lineOf(entry)}\n`).join(""));
    }
    const draft = join(folder, "2026-11-20.x.new");
    writeFileSync(draft, "what a killed server left");
    const { log } = logOf(folder);
    expect((await log.read("30d")).all.requests).toBe(120);
    await log.close();
    expect(readFileSync(fileOf(5), "utf8").trim().split("\n")).toHaveLength(2);
    expect(readdirSync(folder).filter((name) => name.startsWith("2026-10") || name.endsWith(".new"))).toEqual([]);
  });

  it("where the clock is set back to the day before", async () => {
    const folder = temporary();
    const { log, clock } = logOf(folder);
    log.request(request());
    clock.now -= DAY;
    log.request(request());
    clock.now += DAY;
    log.request(request());
    await log.close();
    const { all, steps } = await logOf(folder).log.read("30d");
    expect(all.requests).toBe(3);
    expect(steps.slice(-2).map(({ requests }) => requests)).toEqual([1, 2]);
  });

  it("in memory where the folder cannot be written, with one warning", async () => {
    const folder = temporary();
    writeFileSync(folder, "a file");
    const warnings: string[] = [];
    const { log } = logOf(folder, NOON, { warn: (message) => warnings.push(message) });
    log.request(request());
    await log.close();
    log.request(request());
    await log.close();
    expect(warnings).toHaveLength(1);
    expect(await log.read("hour").catch((error: Error) => error.message)).toMatchObject({
      kept: false,
      all: { requests: 2 },
    });
  });
});

describe("a server that is killed", () => {
  it("has lost nothing that it had written, whenever that was", async () => {
    const folder = temporary();
    const script = `
      const { openActivity } = await import(${JSON.stringify(inRepo("dist/src/server/node_activity.js"))});
      const log = openActivity(process.argv[1], { flushMs: 1, compactBytes: 2000 });
      const request = JSON.parse(process.argv[2]);
      for (let n = 1; ; n++) {
        log.request({ ...request, key: String(100000 + (n % 50)) });
        await log.close();
        process.stdout.write(n + "\\n");
      }`;
    let written = 0;
    for (let round = 0; round < 6; round++) {
      const args = ["--input-type=module", "-e", script, folder, JSON.stringify(request())];
      const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
      let last = "";
      const began = new Promise((resolve) => child.stdout.once("data", resolve));
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        last += text;
      });
      await began;
      await new Promise((resolve) => setTimeout(resolve, 17 * round));
      child.kill("SIGKILL");
      await new Promise((resolve) => child.once("close", resolve));
      written += last.split("\n").length - 1;
      const log = openActivity(folder);
      const { requests } = (await log.read("hour")).all;
      await log.close();
      expect(requests).toBeGreaterThanOrEqual(written);
      expect(requests).toBeLessThanOrEqual(written + round + 1); // one each that was not told any more
    }
  });
});
