// Schemas that take long to compile stop no one else: /health is answered meanwhile, and each is
// refused by name or answered.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Model } from "../../src/engine/model.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { some } from "../support/some.ts";
import { openTales, type RealServer, serveReal } from "./real.ts";

/** Milliseconds: schemas that are meant to exceed it take tens of seconds. */
const DEADLINE = 3000;

let model: Model;
let server: RealServer;
beforeAll(async () => {
  model = await openTales({ compileDeadline: DEADLINE });
  server = await serveReal(model);
});
afterAll(async () => {
  await server?.close();
  await model?.close();
});

const text = { type: "string" };
const unions = (count: number, each: number): object => ({
  allOf: Array.from({ length: count }, (_, i) => ({
    anyOf: Array.from({ length: each }, (_, j) => ({ properties: { [`p${i}`]: { const: j } } })),
  })),
});
const nested = (depth: number): object =>
  depth === 0
    ? { ...text, maxLength: 30 }
    : { anyOf: [{ ...text, pattern: `^a{${depth},90}$` }, { items: nested(depth - 1) }] };

const SLOW: readonly (readonly [string, object])[] = [
  ["counted states", { ...text, pattern: "^([^0-9]?[^a-f]?[^x]?[^q]?){990}$" }],
  [
    "letters that are counted",
    {
      ...text,
      allOf: [{ pattern: "^\\p{L}{1,400}$" }, { pattern: "\\p{Lu}.*[^\\p{Script=Greek}]{50}" }],
      maxLength: 900,
    },
  ],
];
const NASTY: readonly (readonly [string, object])[] = [
  ["an enum of 100,000", { enum: Array.from({ length: 1e5 }, (_, i) => `word ${i}`) }],
  ["a megabyte", { ...text, description: "x".repeat(1e6) }],
  [
    "a list of 20,000 properties",
    { properties: Object.fromEntries(Array.from({ length: 2e4 }, (_, i) => [`p${i}`, text])) },
  ],
  ["unions that multiply", unions(12, 12)],
  ["unions that nearly multiply", unions(9, 2)],
  ["nested unions", nested(12)],
  ["a pattern that explodes", { ...text, pattern: "(a|b)*a(a|b){20}" }],
  ["repetitions of repetitions", { ...text, pattern: "(((a{900}){900}){900}){900}" }],
  [
    "patterns of names",
    {
      patternProperties: Object.fromEntries(
        Array.from({ length: 14 }, (_, i) => [`^[a-z]{${i},30}x`, { ...text, pattern: `a{${i + 1}}b` }]),
      ),
    },
  ],
  [
    "what is in no other",
    { not: { anyOf: Array.from({ length: 12 }, (_, i) => ({ pattern: `^[a-z]{${i + 1},${i + 20}}[0-9]` })) } },
  ],
];

const format = (schema: object): object => ({ type: "json_schema", json_schema: { name: "it", schema, strict: true } });
const ask = (schema: object) =>
  server.ask("/v1/chat/completions", {
    messages: [{ role: "user", content: "Say it." }],
    max_tokens: 4,
    response_format: format(schema),
  });

/** Asks /health again and again until `answer` has come; how often it was answered before. */
async function healthWhile(answer: Promise<unknown>): Promise<number> {
  let over = false;
  const end = answer.then(
    () => {
      over = true;
    },
    () => {
      over = true;
    },
  );
  let count = 0;
  while (!over) {
    const { status } = await fetch(`${server.url}/health`);
    expect(status).toBe(200);
    if (!over) count++;
  }
  await end;
  return count;
}

describe("while a schema is compiled", () => {
  it.each(some(SLOW, 1))("%s: others are answered, and the deadline is a 400 by name", async (_, schema) => {
    const answer = ask(schema);
    expect(await healthWhile(answer)).toBeGreaterThan(5);
    const { status, json } = await answer;
    expect(status).toBe(400);
    expect(json.error.message).toMatch(/json_schema: .*deadline of 3 s/);
    expect(json.error).toMatchObject({ type: "invalid_request_error", param: "response_format" });
    const again = await ask(schema); // known by now
    expect(again.status).toBe(400);
  });

  it.skipIf(leftToCi)(
    titled("a tool that must be held to its schema: the deadline names the tools", leftToCi),
    async () => {
      const parameters = { type: "object", properties: { a: SLOW[0]![1] }, required: ["a"] };
      const { status, json } = await server.ask("/v1/chat/completions", {
        messages: [{ role: "user", content: "Call it." }],
        tools: [{ type: "function", function: { name: "it", parameters, strict: true } }],
        max_tokens: 4,
      });
      expect(status).toBe(400);
      expect(json.error.message).toMatch(/deadline of 3 s/);
      expect(json.error).toMatchObject({ param: "tools" });
    },
  );

  it("an answer with a schema of its own is written to its end", async () => {
    const slow = ask({ ...SLOW[0]![1], description: "another" });
    const { status, json } = await server.ask("/v1/chat/completions", {
      messages: [{ role: "user", content: "Say it." }],
      max_tokens: 60,
      response_format: format({ enum: ["yes", "no"] }),
    });
    expect(status).toBe(200);
    expect(["yes", "no"]).toContain(JSON.parse(json.choices[0]!.message.content!));
    expect((await slow).status).toBe(400);
  });
});

describe("whatever schema is sent", () => {
  it.each(some(NASTY, 1))("%s: it is answered or refused, and the next request is well", async (_, schema) => {
    const answer = ask(schema);
    await healthWhile(answer);
    const { status, json } = await answer;
    expect([200, 400]).toContain(status);
    if (status === 400) expect(json.error.message).toMatch(/^json_schema: /);
    expect((await ask({ const: 1 })).status).toBe(200);
  });

  it("a schema for each request of many: all are answered", async () => {
    const answers = Promise.all(Array.from({ length: 40 }, (_, i) => ask({ enum: [`word ${i}`, i] })));
    await healthWhile(answers);
    for (const { status } of await answers) expect(status).toBe(200);
  });
});
