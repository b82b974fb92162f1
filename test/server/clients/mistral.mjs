// Mistral's client against a running server; run by run.mjs.

import assert from "node:assert/strict";
import { Mistral } from "@mistralai/mistralai";
import {
  BASE,
  BOUNDED,
  called,
  check,
  checkEmbeddings,
  hi,
  KEY,
  model,
  PARAMETERS,
  rejects,
  says,
} from "./support.mjs";

const mistral = new Mistral({ serverURL: BASE, apiKey: KEY });
await check("mistral: models", async () => {
  const { data } = await mistral.models.list();
  assert.equal(data[0].type, "base");
  const one = await mistral.models.retrieve({ modelId: "mistral-small" });
  assert.equal(one.type, "base");
  assert.equal(one.maxContextLength, data[0].maxContextLength);
});
await check("mistral: chat", async () => {
  const answer = await mistral.chat.complete({ model, maxTokens: 24, randomSeed: 1, messages: hi, safePrompt: false });
  says(answer.choices[0].message.content);
});
await check("mistral: stream", async () => {
  let text = "";
  let usage;
  for await (const { data } of await mistral.chat.stream({ model, maxTokens: 24, messages: hi })) {
    text += data.choices[0]?.delta.content ?? "";
    usage ??= data.usage;
  }
  says(text);
  assert.ok(usage.totalTokens > 0);
});
const mistralTools = [
  { type: "function", function: { name: "get_weather", description: "w", parameters: PARAMETERS } },
];
const ask = { model, tools: mistralTools, maxTokens: BOUNDED, parallelToolCalls: false };
await check("mistral: tool round trip", async () => {
  const first = await mistral.chat.complete({ ...ask, messages: hi, toolChoice: "any" });
  const { message, finishReason } = first.choices[0];
  assert.equal(finishReason, "tool_calls");
  const [call] = message.toolCalls;
  called(JSON.parse(call.function.arguments));
  const result = { role: "tool", name: "get_weather", toolCallId: call.id, content: "sunny" };
  const messages = [...hi, { ...message, role: "assistant" }, result];
  const answer = await mistral.chat.complete({ ...ask, messages, toolChoice: "none" });
  says(answer.choices[0].message.content);
});
await check("mistral: tool calls in a stream", async () => {
  const calls = [];
  for await (const { data } of await mistral.chat.stream({ ...ask, messages: hi, toolChoice: "any" }))
    calls.push(...(data.choices[0]?.delta.toolCalls ?? []));
  assert.deepEqual(
    calls.map((call) => call.function.name),
    ["get_weather"],
  );
  called(JSON.parse(calls[0].function.arguments));
});
await checkEmbeddings("mistral: embeddings", async () => {
  const { data } = await mistral.embeddings.create({ model, inputs: ["a"] });
  assert.ok(data[0].embedding.length > 0);
});
await check("mistral: 400", async () => {
  await rejects(
    () => mistral.chat.complete({ model, messages: hi, temperature: -1 }),
    (error) => assert.equal(error.statusCode, 400),
  );
});
