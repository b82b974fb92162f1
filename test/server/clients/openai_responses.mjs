// openai's client and /v1/responses against a running server; run by run.mjs.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { BASE, BOUNDED, called, check, FAKE, KEY, model, rejects, says, shaped, weather } from "./support.mjs";

const openai = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY, maxRetries: 0 });
const ask = { model, input: "hi", ...(FAKE ? {} : { max_output_tokens: BOUNDED }) };
const getWeather = zodResponsesFunction({
  name: "get_weather",
  parameters: z.object({ city: z.string().max(12) }),
});
await check("openai, responses: whole", async () => {
  const answer = await openai.responses.create({ ...ask, instructions: "s", store: false });
  says(answer.output_text);
  assert.ok(answer.usage.total_tokens > 0);
});
await check("openai, responses: events in order", async () => {
  const stream = openai.responses.stream(ask);
  const types = [];
  let last = -1;
  for await (const event of stream) {
    types.push(event.type);
    assert.equal(event.sequence_number, ++last);
  }
  assert.equal(types[0], "response.created");
  assert.match(types.at(-1), /^response\.(completed|incomplete)$/);
  const text = ["response.content_part.added", "response.output_text.done", "response.content_part.done"];
  for (const type of text) assert.ok(types.includes(type), type);
  says((await stream.finalResponse()).output_text);
});
await check("openai, responses: parse", async () => {
  const answer = await openai.responses.parse({ ...ask, text: { format: zodTextFormat(weather(z), "w") } });
  shaped(answer.output_parsed);
});
for (const choice of ["required", { type: "function", name: "get_weather" }]) {
  await check(`openai, responses: tool round trip, ${JSON.stringify(choice)}`, async () => {
    const tools = [getWeather, { type: "web_search" }];
    const first = await openai.responses.parse({ ...ask, tools, tool_choice: choice, parallel_tool_calls: false });
    const [call] = first.output.filter(({ type }) => type === "function_call");
    called(call.parsed_arguments);
    const input = [
      { role: "user", content: "hi" },
      ...first.output.map(({ parsed_arguments, ...item }) => item),
      { type: "function_call_output", call_id: call.call_id, output: "sunny" },
    ];
    says((await openai.responses.create({ ...ask, input, tools, tool_choice: "none" })).output_text);
  });
}
await check("openai, responses: a tool call in a stream", async () => {
  const stream = openai.responses.stream({ ...ask, tools: [getWeather], tool_choice: "required" });
  let text = "";
  for await (const event of stream) if (event.type === "response.function_call_arguments.delta") text += event.delta;
  called(JSON.parse(text.slice(0, text.indexOf("}") + 1)));
});
await check("openai, responses: count", async () => {
  const { input_tokens: counted } = await openai.responses.inputTokens.count({ model, input: "hi" });
  assert.ok(counted > 0);
});
await check("openai, responses: 400", async () => {
  await rejects(
    () => openai.responses.create({ ...ask, previous_response_id: "resp_1" }),
    (error) => assert.ok(error instanceof OpenAI.BadRequestError && error.param === "previous_response_id"),
  );
});
await check("openai, responses: abort", async () => {
  const stream = await openai.responses.create({ model, input: FAKE ? "wait" : "hi", stream: true });
  for await (const _ of stream) stream.controller.abort();
});
if (FAKE) {
  await check("openai, responses: failure within a stream", async () => {
    const stream = await openai.responses.create({ model, input: "lost", stream: true });
    await rejects(
      async () => {
        for await (const event of stream)
          if (event.type === "response.failed") throw new Error(event.response.error.message);
      },
      (error) => assert.match(error.message, /device lost/),
    );
  });
}
