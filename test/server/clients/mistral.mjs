// Mistral's client against a running server; run by run.mjs.

import assert from "node:assert/strict";
import { Mistral } from "@mistralai/mistralai";
import { BASE, check, FAKE, hi, KEY, model, PARAMETERS, rejects, says } from "./support.mjs";

const mistral = new Mistral({ serverURL: BASE, apiKey: KEY });
await check("mistral: models", async () => assert.ok((await mistral.models.list()).data.length > 0));
await check("mistral: chat", async () => {
  const answer = await mistral.chat.complete({ model, maxTokens: 24, randomSeed: 1, messages: hi, safePrompt: false });
  says(answer.choices[0].message.content);
});
await check("mistral: stream", async () => {
  let text = "";
  for await (const { data } of await mistral.chat.stream({ model, maxTokens: 24, messages: hi }))
    text += data.choices[0]?.delta.content ?? "";
  says(text);
});
if (FAKE) {
  const mistralTools = [
    { type: "function", function: { name: "get_weather", description: "w", parameters: PARAMETERS } },
  ];
  await check("mistral: tool round trip", async () => {
    const first = await mistral.chat.complete({ model, messages: hi, tools: mistralTools, toolChoice: "any" });
    const { message, finishReason } = first.choices[0];
    assert.equal(finishReason, "tool_calls");
    const result = { role: "tool", name: "get_weather", toolCallId: message.toolCalls[0].id, content: "sunny" };
    const answer = await mistral.chat.complete({
      model,
      messages: [...hi, { ...message, role: "assistant" }, result],
      tools: mistralTools,
    });
    says(answer.choices[0].message.content);
  });
  await check("mistral: tool calls in a stream", async () => {
    const calls = [];
    for await (const { data } of await mistral.chat.stream({ model, messages: hi, tools: mistralTools }))
      calls.push(...(data.choices[0]?.delta.toolCalls ?? []));
    assert.deepEqual(
      calls.map((call) => call.function.name),
      ["get_weather"],
    );
  });
}
await check("mistral: embeddings", async () => {
  const { data } = await mistral.embeddings.create({ model, inputs: ["a"] });
  assert.ok(data[0].embedding.length > 0);
});
await check("mistral: 400", async () => {
  await rejects(
    () => mistral.chat.complete({ model, messages: hi, temperature: -1 }),
    (error) => assert.equal(error.statusCode, 400),
  );
});
