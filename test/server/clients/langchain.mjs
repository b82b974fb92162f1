// LangChain's models of OpenAI and Anthropic against a running server; run by run.mjs.

import assert from "node:assert/strict";
import { ChatAnthropic } from "@langchain/anthropic";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { z } from "zod";
import { BASE, check, FAKE, KEY, model, says, shaped } from "./support.mjs";

const WEATHER = { city: z.string(), temp: z.number() };

const langchain = {
  "langchain, openai": new ChatOpenAI({
    model,
    apiKey: KEY,
    configuration: { baseURL: `${BASE}/v1` },
    maxRetries: 0,
    ...(FAKE ? {} : { maxTokens: 24 }),
  }),
  "langchain, anthropic": new ChatAnthropic({
    model,
    apiKey: KEY,
    anthropicApiUrl: BASE,
    maxRetries: 0,
    maxTokens: 24,
  }),
};
for (const [name, chat] of Object.entries(langchain)) {
  await check(`${name}: invoke`, async () => says((await chat.invoke("hi")).text));
  await check(`${name}: stream`, async () => {
    let text = "";
    for await (const chunk of await chat.stream("hi")) text += chunk.text;
    says(text);
  });
  await check(`${name}: structured output`, async () => {
    const method = name.endsWith("openai") ? { method: "jsonSchema" } : { method: "functionCalling" };
    shaped(await chat.withStructuredOutput(z.object(WEATHER), { name: "extract", ...method }).invoke("hi"));
  });
  if (FAKE) {
    await check(`${name}: tool calls`, async () => {
      const tools = [{ name: "get_weather", description: "w", schema: z.object({ city: z.string() }) }];
      const { tool_calls } = await chat.bindTools(tools).invoke("hi");
      assert.deepEqual(tool_calls[0].args, { city: "Paris" });
    });
  }
}
await check("langchain, openai: embeddings", async () => {
  const vectors = new OpenAIEmbeddings({ model, apiKey: KEY, configuration: { baseURL: `${BASE}/v1` } });
  assert.ok((await vectors.embedQuery("a")).every(Number.isFinite));
});
