// What the checks of all clients share: where the server is, what the scripted model says, and how
// a check is reported. BASE: the server; FAKE=1: it answers with the scripted model. A real model
// writes what it likes: checks that need a form of it ask for that form, with lengths that an
// answer of BOUNDED tokens holds.

import assert from "node:assert/strict";

export const BASE = process.env.BASE;
export const FAKE = process.env.FAKE === "1";
export const KEY = process.env.KEY ?? "k";
export const model = "mixtral";
export const hi = [{ role: "user", content: "hi" }];
/** Tokens that hold any call or object of the schemas below, whatever is written into them. */
export const BOUNDED = 160;
const LONGEST = 12;
export const PARAMETERS = {
  type: "object",
  properties: { city: { type: "string", maxLength: LONGEST } },
  required: ["city"],
  additionalProperties: false,
};

/** What the scripted model says; a real one may say anything. */
export const says = (text, expected = "Hi") =>
  FAKE ? assert.equal(text, expected) : assert.equal(typeof text, "string");
/** The JSON schema of what `shaped` expects, and the same for zod. */
export const WEATHER_SCHEMA = {
  type: "object",
  properties: { city: { type: "string", maxLength: LONGEST }, temp: { type: "integer", minimum: -60, maximum: 60 } },
  required: ["city", "temp"],
  additionalProperties: false,
};
export const weather = (z) => z.object({ city: z.string().max(LONGEST), temp: z.number().int().min(-60).max(60) });
export const called = (args) => {
  if (FAKE) assert.deepEqual(args, { city: "Paris" });
  assert.deepEqual(Object.keys(args), ["city"]);
  assert.ok(typeof args.city === "string" && args.city.length <= LONGEST, JSON.stringify(args));
};
export const shaped = (value) => {
  assert.deepEqual(Object.keys(value).sort(), ["city", "temp"]);
  assert.ok(typeof value.city === "string" && value.city.length <= LONGEST, JSON.stringify(value));
  assert.ok(Number.isInteger(value.temp) && Math.abs(value.temp) <= 60, JSON.stringify(value));
};

export let failed = 0;
export let passed = 0;
export async function check(name, work) {
  const limit = setTimeout(
    () => {
      console.log(`HANGS ${name}`);
      process.exit(1);
    },
    FAKE ? 20_000 : 300_000,
  );
  try {
    await work();
    passed++;
    console.log(`ok    ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILS ${name}: ${error?.stack ?? error}`);
  }
  clearTimeout(limit);
}
export async function rejects(work, test) {
  let error;
  try {
    await work();
  } catch (caught) {
    error = caught;
  }
  assert.ok(error, "no error");
  if (test) test(error);
}

/** As check(), but left out, and said so, where the server has no embeddings. */
export async function checkEmbeddings(name, work) {
  const headers = { "content-type": "application/json", authorization: `Bearer ${KEY}` };
  const body = JSON.stringify({ model, input: "a" });
  const { ok } = await fetch(`${BASE}/v1/embeddings`, { method: "POST", headers, body });
  if (ok || FAKE) await check(name, work);
  else console.log(`left out: ${name}: this server makes no embeddings`);
}
