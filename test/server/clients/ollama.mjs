// The clients of Ollama's API against a running server: ollama's own, LangChain's and LlamaIndex's;
// run by run.mjs.

import assert from "node:assert/strict";
import { ChatOllama, OllamaEmbeddings } from "@langchain/ollama";
import { OllamaEmbedding, Ollama as OllamaLlm } from "@llamaindex/ollama";
import { Ollama } from "ollama";
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
  PARAMETERS,
  rejects,
  says,
  shaped,
  WEATHER_SCHEMA,
  weather,
} from "./support.mjs";

const headers = { authorization: `Bearer ${KEY}` };
const ollama = new Ollama({ host: BASE, headers });
const short = FAKE ? {} : { options: { num_predict: 24 } };
const bounded = FAKE ? {} : { options: { num_predict: BOUNDED } };
const tools = [{ type: "function", function: { name: "get_weather", description: "w", parameters: PARAMETERS } }];

await check("ollama: version, list, ps, show", async () => {
  assert.match((await ollama.version()).version, /^\d+\.\d+\.\d+$/);
  const { models } = await ollama.list();
  assert.ok(models[0].name !== "" && Number.isInteger(models[0].size));
  assert.equal((await ollama.ps()).models[0].name, models[0].name);
  assert.ok((await ollama.show({ model: models[0].name })).capabilities.includes("tools"));
});
await check("ollama: chat", async () => {
  const answer = await ollama.chat({ model, messages: hi, ...short });
  says(answer.message.content);
  assert.ok(answer.done && answer.eval_count > 0 && answer.prompt_eval_count > 0);
});
await check("ollama: chat, streamed", async () => {
  let [text, last] = ["", null];
  for await (const part of await ollama.chat({ model, messages: hi, stream: true, ...short })) {
    text += part.message.content;
    last = part;
  }
  says(text);
  assert.ok(last.done && last.eval_count > 0);
});
await check("ollama: generate", async () => {
  says((await ollama.generate({ model, prompt: "hi", system: "s", ...short })).response);
  let text = "";
  for await (const part of await ollama.generate({ model, prompt: "hi", stream: true, ...short }))
    text += part.response;
  says(text);
});
await check("ollama: a schema as format", async () => {
  const answer = await ollama.chat({ model, messages: hi, format: WEATHER_SCHEMA, ...bounded });
  shaped(JSON.parse(answer.message.content));
});
await check("ollama: tools", async () => {
  const { message } = await ollama.chat({ model, messages: hi, tools, ...bounded });
  const [call] = message.tool_calls ?? [];
  if (FAKE) called(call.function.arguments);
  const made = call ?? { function: { name: "get_weather", arguments: { city: "Paris" } } };
  const result = { role: "tool", tool_name: "get_weather", content: "sunny" };
  const messages = [...hi, { role: "assistant", content: "", tool_calls: [made] }, result];
  says((await ollama.chat({ model, messages, ...short })).message.content);
});
await checkEmbeddings("ollama: embeddings", async () => {
  const { embeddings } = await ollama.embed({ model, input: ["a", "b"] });
  assert.ok(embeddings.length === 2 && embeddings[1].every(Number.isFinite));
  assert.ok((await ollama.embeddings({ model, prompt: "a" })).embedding.every(Number.isFinite));
});
await check("ollama: abort a stream", async () => {
  const messages = FAKE ? [{ role: "user", content: "wait" }] : hi;
  const stream = await ollama.chat({ model, messages, stream: true });
  await rejects(
    async () => {
      for await (const _ of stream) stream.abort();
    },
    (error) => assert.equal(error.name, "AbortError"),
  );
});
await check("ollama: 400, whole and streamed", async () => {
  for (const stream of [false, true]) {
    await rejects(
      () => ollama.chat({ model, messages: hi, stream, options: { temperature: -1 } }),
      (error) => {
        assert.equal(error.status_code, 400);
        assert.match(error.message, /^options\.temperature: expected a number/);
      },
    );
  }
});
await check("ollama: unload", async () => {
  assert.equal((await ollama.generate({ model, prompt: "", keep_alive: 0 })).done_reason, "unload");
});
await check("ollama: a pull that the operator did not allow", async () => {
  for (const stream of [false, true]) {
    await rejects(
      () => ollama.pull({ model: "mixtral", stream }),
      (error) => {
        assert.equal(error.status_code, 403);
        assert.match(error.message, /hotset pull mixtral/);
      },
    );
  }
});
if (FAKE) {
  await check("ollama: failure within a stream", async () => {
    await rejects(
      async () => {
        const lost = [{ role: "user", content: "lost" }];
        for await (const _ of await ollama.chat({ model, messages: lost, stream: true }));
      },
      (error) => assert.match(error.message, /device lost/),
    );
  });
}

const langchain = new ChatOllama({
  model,
  baseUrl: BASE,
  headers,
  maxRetries: 0,
  ...(FAKE ? {} : { numPredict: BOUNDED }),
});
await check("langchain, ollama: invoke and stream", async () => {
  const answer = await langchain.invoke("hi");
  says(answer.text);
  assert.ok(answer.usage_metadata.total_tokens > 0);
  let text = "";
  for await (const chunk of await langchain.stream("hi")) text += chunk.text;
  says(text);
});
await check("langchain, ollama: structured output", async () => {
  shaped(await langchain.withStructuredOutput(weather(z), { method: "jsonSchema" }).invoke("hi"));
});
await check("langchain, ollama: tools", async () => {
  const bound = langchain.bindTools([
    { name: "get_weather", description: "w", schema: z.object({ city: z.string().max(12) }) },
  ]);
  const answer = await bound.invoke("hi");
  if (FAKE) called(answer.tool_calls[0].args);
});
await check("langchain, ollama: 400", async () => {
  const wrong = new ChatOllama({ model, baseUrl: BASE, headers, maxRetries: 0, temperature: -1 });
  await rejects(
    () => wrong.invoke("hi"),
    (error) => assert.match(error.message, /options\.temperature/),
  );
});
await checkEmbeddings("langchain, ollama: embeddings", async () => {
  const vectors = new OllamaEmbeddings({ model, baseUrl: BASE, headers });
  assert.equal((await vectors.embedDocuments(["a", "b"])).length, 2);
});

const config = { host: BASE, headers };
const llm = new OllamaLlm({ model, config, ...short });
await check("llamaindex, ollama: chat, stream, complete", async () => {
  says((await llm.chat({ messages: hi })).message.content);
  let text = "";
  for await (const chunk of await llm.chat({ messages: hi, stream: true })) text += chunk.delta;
  says(text);
  says((await llm.complete({ prompt: "hi" })).text);
});
await checkEmbeddings("llamaindex, ollama: embeddings", async () => {
  assert.ok((await new OllamaEmbedding({ model, config }).getTextEmbedding("a")).every(Number.isFinite));
});
