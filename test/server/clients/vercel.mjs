// Vercel's ai with three providers against a running server; run by run.mjs.

import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import * as ai from "ai";
import { z } from "zod";
import { BASE, BOUNDED, called, check, FAKE, KEY, model, rejects, says, shaped, weather } from "./support.mjs";

const { APICallError, generateObject, generateText, streamText, tool } = ai;
const steps = (ai.isStepCount ?? ai.stepCountIs)(3); // as versions 7 and 6 call it
/** The first step calls the tool, the next one answers. */
const once = ({ stepNumber }) => (stepNumber > 0 ? { toolChoice: "none" } : {});

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
