// openai's client against a running server; run by run.mjs.

import assert from "node:assert/strict";
import OpenAI from "openai";
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
} from "./support.mjs";

const max = FAKE ? {} : { max_tokens: 24 };
const bounded = FAKE ? {} : { max_tokens: BOUNDED };

const openai = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY, maxRetries: 0 });
const weatherTool = {
  type: "function",
  function: {
    name: "get_weather",
    description: "w",
    parameters: PARAMETERS,
    function: () => "sunny",
    parse: JSON.parse,
  },
};
await check("openai: models", async () => {
  const { data } = await openai.models.list();
  assert.equal((await openai.models.retrieve(data[0].id)).id, data[0].id);
});
await check("openai: chat with logprobs", async () => {
  const answer = await openai.chat.completions.create({
    model,
    messages: hi,
    logprobs: true,
    top_logprobs: 2,
    seed: 1,
    ...max,
  });
  says(answer.choices[0].message.content);
  assert.ok(answer.choices[0].logprobs.content.every((one) => one.top_logprobs.length === 2));
  assert.ok(answer.usage.total_tokens > 0);
});
await check("openai: n", async () => {
  const answer = await openai.chat.completions.create({ model, messages: hi, n: 3, ...max });
  assert.deepEqual(
    answer.choices.map(({ index }) => index),
    [0, 1, 2],
  );
});
await check("openai: stream with usage", async () => {
  let [text, usage] = ["", null];
  const options = { include_usage: true };
  for await (const chunk of await openai.chat.completions.create({
    model,
    messages: hi,
    stream: true,
    stream_options: options,
    ...max,
  })) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  says(text);
  assert.ok(usage.total_tokens > 0);
});
await check("openai: stream helper", async () => {
  says(await openai.chat.completions.stream({ model, messages: hi, ...max }).finalContent());
});
await check("openai: JSON schema", async () => {
  const format = { type: "json_schema", json_schema: { name: "w", strict: true, schema: WEATHER_SCHEMA } };
  const answer = await openai.chat.completions.parse({ model, messages: hi, response_format: format, ...bounded });
  shaped(JSON.parse(answer.choices[0].message.content));
});
await check("openai: JSON schema in a stream", async () => {
  const format = { type: "json_schema", json_schema: { name: "w", strict: true, schema: WEATHER_SCHEMA } };
  const stream = openai.chat.completions.stream({ model, messages: hi, response_format: format, ...bounded });
  shaped(JSON.parse(await stream.finalContent()));
});
await check("openai: a schema that cannot be enforced", async () => {
  if (FAKE) return;
  const schema = { type: "array", items: { type: "integer" }, uniqueItems: true, minItems: 2 };
  const format = { type: "json_schema", json_schema: { name: "w", strict: true, schema } };
  await rejects(
    () => openai.chat.completions.create({ model, messages: hi, response_format: format }),
    (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError, String(error));
      assert.match(error.message, /uniqueItems/);
    },
  );
});
await check("openai: tool round trip, required", async () => {
  const tools = [{ type: "function", function: { name: "get_weather", description: "w", parameters: PARAMETERS } }];
  const ask = { model, tools, parallel_tool_calls: false, ...bounded };
  const first = await openai.chat.completions.create({ ...ask, messages: hi, tool_choice: "required" });
  const { message, finish_reason } = first.choices[0];
  assert.equal(finish_reason, "tool_calls");
  assert.equal(message.tool_calls.length, 1);
  called(JSON.parse(message.tool_calls[0].function.arguments));
  const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "sunny" };
  const answer = await openai.chat.completions.create({
    ...ask,
    messages: [...hi, message, result],
    tool_choice: "none",
  });
  says(answer.choices[0].message.content);
  assert.equal(answer.choices[0].message.tool_calls, undefined);
});
await check("openai: a named tool in a stream", async () => {
  const tools = [{ type: "function", function: { name: "get_weather", parameters: PARAMETERS } }];
  const choice = { type: "function", function: { name: "get_weather" } };
  const stream = openai.chat.completions.stream({ model, messages: hi, tools, tool_choice: choice, ...bounded });
  const { choices } = await stream.finalChatCompletion();
  called(JSON.parse(choices[0].message.tool_calls[0].function.arguments));
});
if (FAKE) {
  for (const stream of [false, true]) {
    await check(`openai: runTools, stream ${stream}`, async () => {
      says(
        await openai.chat.completions.runTools({ model, messages: hi, tools: [weatherTool], stream }).finalContent(),
      );
    });
  }
}
await check("openai: completions with echo", async () => {
  const answer = await openai.completions.create({ model, prompt: "x", logprobs: 1, echo: true, max_tokens: 2 });
  says(answer.choices[0].text, "xHi");
  assert.equal(answer.choices[0].logprobs.token_logprobs[0], null);
});
await checkEmbeddings("openai: embeddings", async () => {
  const { data } = await openai.embeddings.create({ model, input: ["a", "b"] });
  assert.ok(data.length === 2 && data[0].embedding.every(Number.isFinite));
});
await check("openai: abort a stream", async () => {
  const stream = await openai.chat.completions.create({
    model,
    messages: [{ role: "user", content: FAKE ? "wait" : "hi" }],
    stream: true,
  });
  for await (const _ of stream) stream.controller.abort();
});
await check("openai: abort while waiting", async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 50);
  const messages = [{ role: "user", content: FAKE ? "wait" : "hi" }];
  await rejects(() => openai.chat.completions.create({ model, messages }, { signal: controller.signal }));
});
await check("openai: 400", async () => {
  await rejects(
    () => openai.chat.completions.create({ model, messages: hi, temperature: -1 }),
    (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, "temperature");
    },
  );
});
await check("openai: responses", async () => {
  const whole = await openai.responses.create({ model, input: "hi", max_output_tokens: 8 });
  assert.equal(typeof whole.output_text, "string");
  const events = await openai.responses.create({ model, input: "hi", max_output_tokens: 8, stream: true });
  let text = "";
  for await (const event of events) if (event.type === "response.output_text.delta") text += event.delta;
  assert.ok(text.length > 0);
});
if (FAKE) {
  await check("openai: failure within a stream", async () => {
    const messages = [{ role: "user", content: "lost" }];
    await rejects(
      () => openai.chat.completions.stream({ model, messages }).finalContent(),
      (error) => assert.match(error.message, /device lost/),
    );
  });
  await check("openai: retries when busy", async () => {
    const patient = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY, maxRetries: 2 });
    const answer = await patient.chat.completions.create({ model, messages: [{ role: "user", content: "busy once" }] });
    says(answer.choices[0].message.content);
  });
  await check("openai: wrong key", async () => {
    const stranger = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: "wrong" });
    await rejects(
      () => stranger.models.list(),
      (error) => assert.ok(error instanceof OpenAI.AuthenticationError),
    );
  });
}
