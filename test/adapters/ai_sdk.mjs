// The AI SDK, unmodified, over models/tales in this process; run by packages.test.ts in a folder
// where `ai` and zod are installed. ROOT: the repository's path, which ends with a slash.

import assert from "node:assert/strict";
import { embedMany, generateObject, generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";

const { open } = await import(`${process.env.ROOT}dist/src/index.js`);
const { hotset } = await import(`${process.env.ROOT}dist/src/adapters/ai.js`);

const opened = await open(`${process.env.ROOT}models/tales`, { backend: "cpu" });
const model = hotset(opened);
const ask = { model, prompt: "Tell me of a fox.", temperature: 0, maxOutputTokens: 24, maxRetries: 0 };
/** Holds any object below. */
const bounded = { ...ask, maxOutputTokens: 160 };
const weather = z.object({ city: z.string().max(8), temp: z.number().int().min(-60).max(60) });

async function check(name, work) {
  await work();
  console.log(`ok ${name}`);
}

let text = "";
await check("generateText", async () => {
  const result = await generateText({ ...ask, providerOptions: { hotset: { minP: 0.01 } } });
  text = result.text;
  assert.ok(text.length > 10);
  assert.equal(result.finishReason, "length");
  assert.equal(result.response.modelId, "tales");
  assert.equal(result.usage.outputTokens, 24);
  assert.ok(result.usage.inputTokens > 0);
  assert.deepEqual(result.warnings ?? [], []);
});

await check("generateText again, from the cache", async () => {
  const { text: again, usage } = await generateText(ask);
  assert.equal(again, text);
  assert.ok(usage.inputTokenDetails.cacheReadTokens >= 0);
});

await check("streamText", async () => {
  const result = streamText(ask);
  let streamed = "";
  for await (const piece of result.textStream) streamed += piece;
  assert.equal(streamed, text);
  assert.equal(await result.finishReason, "length");
  assert.equal((await result.usage).outputTokens, 24);
});

await check("streamText as UI messages", async () => {
  const types = new Set();
  for await (const { type } of streamText(ask).toUIMessageStream()) types.add(type);
  for (const type of ["start", "text-start", "text-delta", "text-end", "finish"]) assert.ok(types.has(type), type);
});

await check("stop texts", async () => {
  const [stop] = /\w{4,}/.exec(text.slice(5));
  const result = await generateText({ ...ask, stopSequences: [stop] });
  assert.equal(result.finishReason, "stop");
  assert.equal(result.text, text.slice(0, text.indexOf(stop)));
});

await check("generateObject", async () => {
  const { object } = await generateObject({ ...bounded, schema: weather });
  weather.parse(object);
});

await check("Output.object", async () => {
  const { output } = await generateText({ ...bounded, output: Output.object({ schema: weather }) });
  weather.parse(output);
});

await check("Output.object, streamed", async () => {
  const result = streamText({ ...bounded, output: Output.object({ schema: weather }) });
  let parts = 0;
  for await (const _ of result.partialOutputStream) parts++;
  assert.ok(parts > 1);
  weather.parse(await result.output);
});

function toolRun() {
  const inputs = [];
  const get_weather = tool({
    description: "The weather of a city",
    inputSchema: z.object({ city: z.string().max(8) }),
    execute: async (input) => {
      inputs.push(input);
      return { temp: 21 };
    },
  });
  const settings = {
    ...bounded,
    tools: { get_weather },
    stopWhen: isStepCount(3),
    // The model is made to call once; what it writes is nonsense.
    prepareStep: ({ stepNumber }) => ({
      toolChoice: stepNumber > 0 ? "none" : { type: "tool", toolName: "get_weather" },
    }),
  };
  return { inputs, settings };
}

await check("a loop of tools", async () => {
  const { inputs, settings } = toolRun();
  const { steps, text: said } = await generateText(settings);
  assert.equal(inputs.length, 1);
  assert.ok(inputs[0].city.length <= 8);
  assert.deepEqual(steps.map(({ finishReason }) => finishReason)[0], "tool-calls");
  assert.ok(said.length > 0);
});

await check("a loop of tools, streamed", async () => {
  const { inputs, settings } = toolRun();
  const types = [];
  for await (const { type } of streamText(settings).fullStream) types.push(type);
  assert.equal(inputs.length, 1);
  for (const type of ["tool-input-start", "tool-input-delta", "tool-call", "tool-result", "text-delta", "finish"])
    assert.ok(types.includes(type), type);
});

await check("embedMany", async () => {
  const values = ["fox", "wolf", "fox"];
  const { embeddings, usage } = await embedMany({ model: hotset.embeddingModel(opened), values });
  assert.deepEqual(embeddings[0], embeddings[2]);
  assert.notDeepEqual(embeddings[0], embeddings[1]);
  assert.ok(Math.abs(Math.hypot(...embeddings[0]) - 1) < 1e-4);
  assert.ok(usage.tokens >= 3);
});

await check("abort", async () => {
  const long = { ...ask, maxOutputTokens: 1500 };
  await assert.rejects(generateText({ ...long, abortSignal: AbortSignal.timeout(50) }), /abort|timeout/i);
  const types = [];
  const controller = new AbortController();
  for await (const { type } of streamText({ ...long, abortSignal: controller.signal }).fullStream) {
    types.push(type);
    if (type === "text-delta") controller.abort();
  }
  assert.ok(types.includes("abort") && !types.includes("error"), types.join(" "));
  assert.equal(opened.stats().sessions, 0);
});

await check("errors of the request", async () => {
  await assert.rejects(generateText({ ...ask, topP: 2 }), /topP/);
});

await opened.close();
