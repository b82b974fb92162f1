// Vercel's ai with its providers and OpenRouter's against a running server; run by run.mjs.

import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createMistral } from "@ai-sdk/mistral";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import * as ai from "ai";
import { z } from "zod";
import {
  BASE,
  BOUNDED,
  called,
  check,
  checkEmbeddings,
  FAKE,
  KEY,
  model,
  rejects,
  says,
  shaped,
  weather,
} from "./support.mjs";

const { APICallError, embedMany, generateObject, generateText, streamText, tool } = ai;
const steps = (ai.isStepCount ?? ai.stepCountIs)(3); // as versions 7 and 6 call it
/** The first step calls the tool, the next one answers. */
const once = ({ stepNumber }) => (stepNumber > 0 ? { toolChoice: "none" } : {});

const openai = createOpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY });
const providers = {
  "ai, openai-compatible": createOpenAICompatible({
    name: "hotset",
    baseURL: `${BASE}/v1`,
    apiKey: KEY,
    includeUsage: true,
    supportsStructuredOutputs: true,
  })(model),
  "ai, openai, chat": openai.chat(model),
  "ai, openai": openai(model), // by /v1/responses
  "ai, anthropic": createAnthropic({ baseURL: `${BASE}/v1`, apiKey: KEY })(model),
  "ai, mistral": createMistral({ baseURL: `${BASE}/v1`, apiKey: KEY })(model),
  "ai, openrouter": createOpenRouter({ baseURL: `${BASE}/api/v1`, apiKey: KEY })(model),
};
for (const [name, languageModel] of Object.entries(providers)) {
  const ask = { model: languageModel, prompt: "hi", maxRetries: 0, ...(FAKE ? {} : { maxOutputTokens: 24 }) };
  await check(`${name}: text`, async () => says((await generateText(ask)).text));
  await check(`${name}: stream`, async () => {
    const result = streamText(ask);
    says(await result.text);
    assert.ok((await result.usage).outputTokens > 0);
  });
  const bounded = { ...ask, ...(FAKE ? {} : { maxOutputTokens: BOUNDED }) };
  await check(`${name}: object`, async () => shaped((await generateObject({ ...bounded, schema: weather(z) })).object));
  const toolRun = () => {
    const inputs = [];
    const get_weather = tool({
      description: "w",
      inputSchema: z.object({ city: z.string().max(12) }),
      execute: async (input) => {
        inputs.push(input);
        return "sunny";
      },
    });
    const toolChoice = { type: "tool", toolName: "get_weather" };
    const settings = { ...bounded, tools: { get_weather }, toolChoice, stopWhen: steps, prepareStep: once };
    return { inputs, settings };
  };
  await check(`${name}: tools`, async () => {
    const { inputs, settings } = toolRun();
    says((await generateText(settings)).text);
    assert.equal(inputs.length, 1);
    called(inputs[0]);
  });
  await check(`${name}: tools, streamed`, async () => {
    const { inputs, settings } = toolRun();
    says(await streamText(settings).text);
    assert.equal(inputs.length, 1);
    called(inputs[0]);
  });
  if (FAKE) {
    await check(`${name}: failure within a stream`, async () => {
      const errors = [];
      const result = streamText({ ...ask, prompt: "lost", onError: ({ error }) => void errors.push(error) });
      await result.consumeStream();
      assert.match(String(errors[0]?.message ?? JSON.stringify(errors[0])), /device lost/);
    });
  }
  await check(`${name}: abort`, async () => {
    const abortSignal = AbortSignal.timeout(50);
    const long = FAKE ? { prompt: "wait" } : { maxOutputTokens: 1500 };
    await rejects(() => generateText({ ...ask, ...long, abortSignal }));
  });
  await check(`${name}: 400`, async () => {
    await rejects(
      () => generateText({ ...ask, topP: 2 }),
      (error) => {
        assert.ok(APICallError.isInstance(error), String(error));
        assert.equal(error.statusCode, 400);
      },
    );
  });
}

await check("ai, openai, completion: text", async () => {
  const ask = { model: openai.completion(model), prompt: "hi", maxRetries: 0, maxOutputTokens: 24 };
  says((await generateText(ask)).text);
});
await checkEmbeddings("ai, openai: embeddings", async () => {
  const { embeddings } = await embedMany({ model: openai.embedding(model), values: ["a", "b"], maxRetries: 0 });
  assert.ok(embeddings.length === 2 && embeddings[1].every(Number.isFinite));
});
