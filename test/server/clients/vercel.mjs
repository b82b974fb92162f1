// Vercel's ai with three providers against a running server; run by run.mjs.

import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import * as ai from "ai";
import { z } from "zod";
import { BASE, check, FAKE, KEY, model, rejects, says, shaped } from "./support.mjs";

const { APICallError, generateObject, generateText, streamText, tool } = ai;
const steps = (ai.isStepCount ?? ai.stepCountIs)(3); // as versions 7 and 6 call it
const WEATHER = { city: z.string(), temp: z.number() };

const providers = {
  "ai, openai-compatible": createOpenAICompatible({
    name: "hotset",
    baseURL: `${BASE}/v1`,
    apiKey: KEY,
    includeUsage: true,
    supportsStructuredOutputs: true,
  })(model),
  "ai, openai": createOpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY }).chat(model),
  "ai, anthropic": createAnthropic({ baseURL: `${BASE}/v1`, apiKey: KEY })(model),
};
for (const [name, languageModel] of Object.entries(providers)) {
  const ask = { model: languageModel, prompt: "hi", maxRetries: 0, ...(FAKE ? {} : { maxOutputTokens: 24 }) };
  await check(`${name}: text`, async () => says((await generateText(ask)).text));
  await check(`${name}: stream`, async () => {
    const result = streamText(ask);
    says(await result.text);
    assert.ok((await result.usage).outputTokens > 0);
  });
  await check(`${name}: object`, async () =>
    shaped((await generateObject({ ...ask, schema: z.object(WEATHER) })).object),
  );
  if (FAKE) {
    const tools = {
      get_weather: tool({
        description: "w",
        inputSchema: z.object({ city: z.string() }),
        execute: async () => "sunny",
      }),
    };
    await check(`${name}: tools`, async () => says((await generateText({ ...ask, tools, stopWhen: steps })).text));
    await check(`${name}: tools, streamed`, async () =>
      says(await streamText({ ...ask, tools, stopWhen: steps }).text),
    );
    await check(`${name}: failure within a stream`, async () => {
      const errors = [];
      const result = streamText({ ...ask, prompt: "lost", onError: ({ error }) => void errors.push(error) });
      await result.consumeStream();
      assert.match(String(errors[0]?.message ?? JSON.stringify(errors[0])), /device lost/);
    });
  }
  await check(`${name}: abort`, async () => {
    const abortSignal = AbortSignal.timeout(50);
    await rejects(() => generateText({ ...ask, prompt: FAKE ? "wait" : "hi", abortSignal }));
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
