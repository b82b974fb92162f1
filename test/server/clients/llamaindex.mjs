// LlamaIndex with its OpenAI and Anthropic packages against a running server; run by run.mjs.

import assert from "node:assert/strict";
import { Anthropic } from "@llamaindex/anthropic";
import { OpenAI, OpenAIEmbedding } from "@llamaindex/openai";
import { Document, Settings, tool, VectorStoreIndex } from "llamaindex";
import { z } from "zod";
import {
  BASE,
  BOUNDED,
  called,
  check,
  checkEmbeddings,
  FAKE,
  hi,
  KEY,
  model,
  says,
  shaped,
  weather,
} from "./support.mjs";

process.env.ANTHROPIC_BASE_URL = BASE; // LlamaIndex has no option for it
const bounded = FAKE ? {} : { maxTokens: BOUNDED };
const llms = {
  "llamaindex, openai": new OpenAI({ model, apiKey: KEY, baseURL: `${BASE}/v1`, maxRetries: 0, ...bounded }),
  "llamaindex, anthropic": new Anthropic({
    model: "claude-4", // sends tools to names like this only
    apiKey: KEY,
    maxRetries: 0,
    maxTokens: BOUNDED,
  }),
};
const getWeather = tool({
  name: "get_weather",
  description: "w",
  parameters: z.object({ city: z.string().max(12) }),
  execute: () => "sunny",
});
const textOf = (content) => (typeof content === "string" ? content : content.map((part) => part.text ?? "").join(""));
for (const [name, llm] of Object.entries(llms)) {
  await check(`${name}: chat`, async () => says(textOf((await llm.chat({ messages: hi })).message.content)));
  await check(`${name}: stream`, async () => {
    let text = "";
    for await (const chunk of await llm.chat({ messages: hi, stream: true })) text += chunk.delta;
    says(text);
  });
  await check(`${name}: tools`, async () => {
    const { message } = await llm.chat({ messages: hi, tools: [getWeather] });
    const [call] = message.options?.toolCall ?? [];
    if (FAKE) called(typeof call.input === "string" ? JSON.parse(call.input) : call.input);
  });
}
await check("llamaindex, openai: structured", async () => {
  const answer = await llms["llamaindex, openai"].chat({ messages: hi, responseFormat: weather(z) });
  shaped(JSON.parse(textOf(answer.message.content)));
});
await checkEmbeddings("llamaindex, openai: an index of documents", async () => {
  Settings.llm = llms["llamaindex, openai"];
  Settings.embedModel = new OpenAIEmbedding({ model, apiKey: KEY, baseURL: `${BASE}/v1`, maxRetries: 0 });
  const documents = ["A fox.", "A hen."].map((text) => new Document({ text }));
  const engine = (await VectorStoreIndex.fromDocuments(documents)).asQueryEngine();
  const { message, sourceNodes } = await engine.query({ query: "hi" });
  says(textOf(message.content));
  assert.ok(sourceNodes.length > 0);
});
