// Schemas of zod, valibot and arktype, unmodified, as tools and formats of models/tales; run by
// packages.test.ts in a folder where they are installed. ROOT: the repository's path, which ends
// with a slash.

import assert from "node:assert/strict";
import { toStandardJsonSchema } from "@valibot/to-json-schema";
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";

const { open, tool, jsonFormat } = await import(`${process.env.ROOT}dist/src/index.js`);

const SCHEMAS = {
  zod: z.object({ city: z.string().max(8), days: z.number().int().min(0).max(9) }),
  valibot: toStandardJsonSchema(
    v.object({
      city: v.pipe(v.string(), v.maxLength(8)),
      days: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(9)),
    }),
  ),
  arktype: type({ city: "string <= 8", days: "0 <= number.integer <= 9" }),
};

const model = await open(`${process.env.ROOT}models/tales`, { backend: "cpu" });
const messages = [{ role: "user", content: "Where to?" }];
const settings = { temperature: 0, maxTokens: 160 };

async function answer(options) {
  let [text, name, args] = ["", "", ""];
  for await (const event of model.chat(messages, { ...settings, ...options })) {
    if (event.type === "text") text += event.text;
    if (event.type === "tool_call") name = event.name;
    if (event.type === "tool_arguments") args += event.text;
  }
  return { text, name, arguments: args };
}

function checkTrip(value) {
  assert.deepEqual(Object.keys(value).sort(), ["city", "days"]);
  assert.ok(value.city.length <= 8 && Number.isInteger(value.days) && value.days >= 0 && value.days <= 9);
}

for (const [library, schema] of Object.entries(SCHEMAS)) {
  const travel = tool({ name: "travel", description: "Books a trip", schema, strict: true });
  const call = await answer({ tools: [travel], toolChoice: "required" });
  assert.equal(call.name, "travel");
  checkTrip(await travel.parse(call));
  await assert.rejects(travel.parse({ arguments: '{"city":1,"days":1}' }), /tool "travel": arguments: .*city/);

  const format = jsonFormat(schema, { strict: true });
  checkTrip(await format.parse((await answer({ responseFormat: format })).text));

  const plain = await answer({ tools: [{ name: "travel", parameters: schema }], toolChoice: "required" });
  checkTrip(JSON.parse(plain.arguments));
  const { text } = await answer({ responseFormat: { type: "json_schema", schema, strict: true } });
  checkTrip(JSON.parse(text));
  console.log(`ok ${library}`);
}

assert.throws(() => tool({ name: "a", schema: v.object({}) }), /valibot has no JSON Schema .* toStandardJsonSchema/);
console.log("ok valibot by itself");
await model.close();
