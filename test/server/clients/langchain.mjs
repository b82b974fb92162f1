// LangChain's models of OpenAI and Anthropic against a running server; run by run.mjs.

import assert from "node:assert/strict";
import { ChatAnthropic } from "@langchain/anthropic";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { createAgent, tool } from "langchain";
import { z } from "zod";
import { BASE, BOUNDED, called, check, checkEmbeddings, FAKE, KEY, model, says, shaped, weather } from "./support.mjs";

const langchain = {
  "langchain, openai": new ChatOpenAI({
    model,
    apiKey: KEY,
    configuration: { baseURL: `${BASE}/v1` },
    maxRetries: 0,
    ...(FAKE ? {} : { maxTokens: BOUNDED }),
  }),
  "langchain, openai, responses": new ChatOpenAI({
    model,
    apiKey: KEY,
    configuration: { baseURL: `${BASE}/v1` },
    maxRetries: 0,
    useResponsesApi: true,
    ...(FAKE ? {} : { maxTokens: BOUNDED }),
  }),
  "langchain, anthropic": new ChatAnthropic({
    model,
    apiKey: KEY,
    anthropicApiUrl: BASE,
    maxRetries: 0,
    maxTokens: BOUNDED,
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
    const method = { method: name.endsWith("anthropic") ? "functionCalling" : "jsonSchema" };
    shaped(await chat.withStructuredOutput(weather(z), { name: "extract", ...method }).invoke("hi"));
  });
  await check(`${name}: tool calls`, async () => {
    const tools = [{ name: "get_weather", description: "w", schema: z.object({ city: z.string().max(12) }) }];
    const { tool_calls } = await chat.bindTools(tools, { tool_choice: "get_weather" }).invoke("hi");
    assert.equal(tool_calls.length, 1);
    called(tool_calls[0].args);
  });
  await check(`${name}: an agent`, async () => {
    const schema = z.object({ city: z.string().max(12) });
    const getWeather = tool(() => "sunny", { name: "get_weather", description: "w", schema });
    const agent = createAgent({ model: chat, tools: [getWeather] });
    const { messages } = await agent.invoke({ messages: [{ role: "user", content: "hi" }] });
    says(messages.at(-1).text);
  });
}
await check("langchain, openai: a batch", async () => {
  const answers = await langchain["langchain, openai"].batch(Array.from({ length: 20 }, (_, i) => `hi ${i}`));
  assert.equal(answers.length, 20);
});
await checkEmbeddings("langchain, openai: embeddings", async () => {
  const vectors = new OpenAIEmbeddings({ model, apiKey: KEY, configuration: { baseURL: `${BASE}/v1` } });
  assert.ok((await vectors.embedQuery("a")).every(Number.isFinite));
});
