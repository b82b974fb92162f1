// Anthropic's client against a running server; run by run.mjs.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { BASE, BOUNDED, called, check, FAKE, hi, KEY, model, PARAMETERS, rejects, says } from "./support.mjs";

const anthropic = new Anthropic({ baseURL: BASE, apiKey: KEY, maxRetries: 0 });
const claude = { model, max_tokens: 24, messages: hi };
const anthropicTools = [{ name: "get_weather", description: "w", input_schema: PARAMETERS }];
await check("anthropic: models", async () => assert.ok((await anthropic.models.list()).data[0].display_name));
await check("anthropic: message", async () => {
  const message = await anthropic.messages.create({ ...claude, system: "s", stop_sequences: ["x"], temperature: 0 });
  assert.equal(message.role, "assistant");
  says(message.content[0]?.text ?? "");
});
await check("anthropic: count tokens", async () => {
  assert.ok((await anthropic.messages.countTokens({ model, messages: hi, tools: anthropicTools })).input_tokens > 0);
});
await check("anthropic: stream", async () => {
  const message = await anthropic.messages.stream(claude).finalMessage();
  says(message.content[0]?.text ?? "");
  assert.ok(message.usage.output_tokens > 0 && message.stop_reason !== null);
});
await check("anthropic: tool round trip, streamed", async () => {
  const ask = { ...claude, max_tokens: BOUNDED, tools: anthropicTools };
  const any = { type: "any", disable_parallel_tool_use: true };
  const first = await anthropic.messages.stream({ ...ask, tool_choice: any }).finalMessage();
  assert.equal(first.stop_reason, "tool_use");
  called(first.content[0].input);
  const result = {
    type: "tool_result",
    tool_use_id: first.content[0].id,
    content: [{ type: "text", text: "sunny" }],
  };
  const messages = [...hi, { role: "assistant", content: first.content }, { role: "user", content: [result] }];
  const answer = await anthropic.messages.create({ ...ask, tool_choice: { type: "none" }, messages });
  says(answer.content[0]?.text ?? "");
});
await check("anthropic: a named tool", async () => {
  const choice = { type: "tool", name: "get_weather" };
  const ask = { ...claude, max_tokens: BOUNDED, tools: anthropicTools, tool_choice: choice };
  const { content, stop_reason } = await anthropic.messages.create(ask);
  assert.equal(stop_reason, "tool_use");
  called(content[0].input);
});
await check("anthropic: tool runner", async () => {
  const given = [];
  const run = async (input) => {
    given.push(input);
    return "sunny";
  };
  const tools = [{ ...anthropicTools[0], run, parse: (input) => input }];
  const choice = { type: "any", disable_parallel_tool_use: true };
  const ask = { ...claude, max_tokens: BOUNDED, tools, tool_choice: choice, max_iterations: 2 };
  await anthropic.beta.messages.toolRunner(ask).runUntilDone();
  called(given[0]);
});
if (FAKE) {
  await check("anthropic: failure within a stream", async () => {
    const messages = [{ role: "user", content: "lost" }];
    await rejects(
      () => anthropic.messages.stream({ ...claude, messages }).finalMessage(),
      (error) => assert.match(error.message, /device lost/),
    );
  });
}
await check("anthropic: beta path", async () =>
  assert.equal((await anthropic.beta.messages.create(claude)).type, "message"),
);
await check("anthropic: abort", async () => {
  const long = FAKE ? { messages: [{ role: "user", content: "wait" }] } : { max_tokens: 1500 };
  const stream = anthropic.messages.stream({ ...claude, ...long });
  stream.once("text", () => stream.abort());
  await rejects(
    () => stream.finalMessage(),
    (error) => assert.ok(error instanceof Anthropic.APIUserAbortError),
  );
});
await check("anthropic: 400", async () => {
  await rejects(
    () => anthropic.messages.create({ ...claude, max_tokens: -2 }),
    (error) => {
      assert.ok(error instanceof Anthropic.BadRequestError);
      assert.equal(error.error.error.type, "invalid_request_error");
    },
  );
});
