// What the checks of all clients share: where the server is, what the scripted model says, and how a check is reported.
// BASE: the server; FAKE=1: it answers with the scripted model.

import assert from "node:assert/strict";

export const BASE = process.env.BASE;
export const FAKE = process.env.FAKE === "1";
export const KEY = process.env.KEY ?? "k";
export const model = "mixtral";
export const hi = [{ role: "user", content: "hi" }];
export const PARAMETERS = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

/** What the scripted model says; a real one may say anything. */
export const says = (text, expected = "Hi") =>
  FAKE ? assert.equal(text, expected) : assert.equal(typeof text, "string");
export const shaped = (value) => {
  assert.equal(typeof value.city, "string");
  assert.equal(typeof value.temp, "number");
};

export let failed = 0;
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
