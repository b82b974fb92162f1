import { describe, expect, it } from "vitest";
import { createApp } from "../../src/server/app.ts";
import { type Fake, fakeModel } from "./fake_model.ts";

const JSON_TYPE = { "content-type": "application/json" };
const utf8 = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

async function post(body: BodyInit, headers: Record<string, string> = JSON_TYPE, model: Fake = fakeModel()) {
  const app = createApp(model, { bodyLimit: 4_000_000 });
  const response = await app.request("/v1/chat/completions", { method: "POST", headers, body });
  return { status: response.status, body: (await response.json()) as { error?: { message: string } } };
}

const GOOD = '{"model":"m","messages":[{"role":"user","content":"hi"}]}';

describe("bodies that are not what was asked for", () => {
  it.each<[string, BodyInit, number, RegExp]>([
    ["empty", "", 400, /empty body/],
    ["no JSON", "{", 400, /not valid JSON/],
    ["two JSONs", "{}{}", 400, /not valid JSON/],
    ["an array", "[]", 400, /found an array/],
    ["null", "null", 400, /found null/],
    ["a text", '"a"', 400, /found a string/],
    [
      "a number beyond all",
      '{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":1e400}',
      400,
      /Infinity/,
    ],
    ["invalid UTF-8", Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d), 400, /UTF-8/],
    ["half a character", utf8(GOOD).slice(0, -1).with(-1, 0xe2), 400, /UTF-8/],
    ["arrays a million deep", "[".repeat(1e6), 400, /nested more than 256/],
    ["a schema 10,000 deep", `{"a":${'{"items":'.repeat(1e4)}1${"}".repeat(1e4)}}`, 400, /nested more than 256/],
    ["4 MB", GOOD.padEnd(4_000_001), 413, /larger than 4000000 bytes/],
  ])("%s", async (_, body, status, message) => {
    const answer = await post(body);
    expect(answer).toEqual({
      status,
      body: { error: expect.objectContaining({ message: expect.stringMatching(message) }) },
    });
  });

  it.each<[Record<string, string>, RegExp]>([
    // A page may send these to another origin without asking first.
    [{ "content-type": "text/plain", origin: "http://localhost:3000" }, /application\/json, found text\/plain/],
    [
      { "content-type": "application/x-www-form-urlencoded", origin: "http://localhost:3000" },
      /found application\/x-www-form/,
    ],
    [{ "content-type": "text/plain", "sec-fetch-site": "cross-site" }, /found text\/plain/],
    [{ "content-type": "multipart/form-data; boundary=x" }, /found multipart/],
    [{ "content-type": "application/xml" }, /found application\/xml/],
    [{ ...JSON_TYPE, "content-encoding": "gzip" }, /content-encoding: gzip/],
  ])("%j: 415", async (headers, message) => {
    const answer = await post(GOOD, headers);
    expect(answer).toMatchObject({ status: 415, body: { error: { message: expect.stringMatching(message) } } });
  });
});

describe("bodies that are unusual and good", () => {
  it.each<[string, string]>([
    ["a byte order mark", `\uFEFF${GOOD}`],
    ["brackets within texts", GOOD.replace("hi", `${"[".repeat(1000)}\\"${"{".repeat(1000)}`)],
    ["a lone surrogate", GOOD.replace("hi", "\\ud800")],
    ["exactly the limit", GOOD.padEnd(4_000_000)],
  ])("%s", async (_, body) => expect((await post(body)).status).toBe(200));

  it("application/json with a charset, and its relatives", async () => {
    expect((await post(GOOD, { "content-type": "application/json; charset=utf-8" })).status).toBe(200);
    expect((await post(GOOD, { "content-type": "application/vnd.x+json" })).status).toBe(200);
  });

  it.each<[string, Record<string, string>]>([
    ["curl -d, PHP", { "content-type": "application/x-www-form-urlencoded" }],
    ["fetch() in Node", { "content-type": "text/plain;charset=UTF-8", "sec-fetch-mode": "cors" }],
    ["no type at all", { "content-type": "" }],
    ["bytes", { "content-type": "application/octet-stream" }],
    ["text/json", { "content-type": "text/json" }],
  ])("from a client that is no page: %s", async (_, headers) => {
    expect((await post(GOOD, headers)).status).toBe(200);
  });

  it("__proto__ and constructor are fields like any other: nothing inherits from them", async () => {
    const model = fakeModel();
    const evil = '{"temperature":9,"n":5,"polluted":true}';
    const body = GOOD.replace("{", `{"__proto__":${evil},"constructor":{"prototype":${evil}},`);
    expect((await post(body, JSON_TYPE, model)).status).toBe(200);
    expect(model.asked.map(({ options }) => options.temperature)).toEqual([undefined]);
    expect({}).not.toHaveProperty("polluted");
    expect((await post('{"__proto__":{"messages":[]}}')).body.error?.message).toMatch(/is required/);
  });
});
