// The official clients, unmodified, against a running server: chat, stream, a tool round trip, JSON schema, abort, errors.
// Run by run.mjs, in a folder where the clients are installed. BASE: the server; FAKE=1: it is the scripted model.

import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { ChatAnthropic } from "@langchain/anthropic";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { Mistral } from "@mistralai/mistralai";
import * as ai from "ai";
import OpenAI from "openai";
import { z } from "zod";

const BASE = process.env.BASE;
const FAKE = process.env.FAKE === "1";
const KEY = process.env.KEY ?? "k";
const model = "mixtral";
const hi = [{ role: "user", content: "hi" }];
const max = FAKE ? {} : { max_tokens: 24 };
const PARAMETERS = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const WEATHER = { city: z.string(), temp: z.number() };
const { APICallError, generateObject, generateText, streamText, tool } = ai;
const steps = (ai.isStepCount ?? ai.stepCountIs)(3); // as versions 7 and 6 call it

/** What the scripted model says; a real one may say anything. */
const says = (text, expected = "Hi") => (FAKE ? assert.equal(text, expected) : assert.equal(typeof text, "string"));
const shaped = (value) => {
  assert.equal(typeof value.city, "string");
  assert.equal(typeof value.temp, "number");
};

let failed = 0;
async function check(name, work) {
  const limit = setTimeout(
    () => {
      console.log(`HANGS ${name}`);
      process.exit(1);
    },
    FAKE ? 20_000 : 300_000,
  );
  try {
    await work();
    console.log(`ok    ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILS ${name}: ${error?.stack ?? error}`);
  }
  clearTimeout(limit);
}
async function rejects(work, test) {
  let error;
  try {
    await work();
  } catch (caught) {
    error = caught;
  }
  assert.ok(error, "no error");
  if (test) test(error);
}

// ---- openai ----
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
  const schema = {
    type: "object",
    properties: { city: { type: "string" }, temp: { type: "number" } },
    required: ["city", "temp"],
    additionalProperties: false,
  };
  const format = { type: "json_schema", json_schema: { name: "w", strict: true, schema } };
  const answer = await openai.chat.completions.parse({ model, messages: hi, response_format: format, ...max });
  shaped(JSON.parse(answer.choices[0].message.content));
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
await check("openai: embeddings", async () => {
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
await check("openai: 404 of responses", async () => {
  await rejects(
    () => openai.responses.create({ model, input: "hi" }),
    (error) => assert.equal(error.status, 404),
  );
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

// ---- @anthropic-ai/sdk ----
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
if (FAKE) {
  await check("anthropic: tool round trip, streamed", async () => {
    const first = await anthropic.messages.stream({ ...claude, tools: anthropicTools }).finalMessage();
    assert.equal(first.stop_reason, "tool_use");
    assert.deepEqual(first.content[0].input, { city: "Paris" });
    const result = {
      type: "tool_result",
      tool_use_id: first.content[0].id,
      content: [{ type: "text", text: "sunny" }],
    };
    const messages = [...hi, { role: "assistant", content: first.content }, { role: "user", content: [result] }];
    says((await anthropic.messages.create({ ...claude, tools: anthropicTools, messages })).content[0].text);
  });
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
  const stream = anthropic.messages.stream({ ...claude, messages: [{ role: "user", content: FAKE ? "wait" : "hi" }] });
  stream.once("text", () => stream.abort());
  await rejects(
    () => stream.finalMessage(),
    (error) => assert.ok(error instanceof Anthropic.APIUserAbortError),
  );
});
await check("anthropic: 400", async () => {
  await rejects(
    () => anthropic.messages.create({ ...claude, max_tokens: -1 }),
    (error) => {
      assert.ok(error instanceof Anthropic.BadRequestError);
      assert.equal(error.error.error.type, "invalid_request_error");
    },
  );
});

// ---- @mistralai/mistralai ----
const mistral = new Mistral({ serverURL: BASE, apiKey: KEY });
await check("mistral: models", async () => assert.ok((await mistral.models.list()).data.length > 0));
await check("mistral: chat", async () => {
  const answer = await mistral.chat.complete({ model, maxTokens: 24, randomSeed: 1, messages: hi, safePrompt: false });
  says(answer.choices[0].message.content);
});
await check("mistral: stream", async () => {
  let text = "";
  for await (const { data } of await mistral.chat.stream({ model, maxTokens: 24, messages: hi }))
    text += data.choices[0]?.delta.content ?? "";
  says(text);
});
if (FAKE) {
  const mistralTools = [
    { type: "function", function: { name: "get_weather", description: "w", parameters: PARAMETERS } },
  ];
  await check("mistral: tool round trip", async () => {
    const first = await mistral.chat.complete({ model, messages: hi, tools: mistralTools, toolChoice: "any" });
    const { message, finishReason } = first.choices[0];
    assert.equal(finishReason, "tool_calls");
    const result = { role: "tool", name: "get_weather", toolCallId: message.toolCalls[0].id, content: "sunny" };
    const answer = await mistral.chat.complete({
      model,
      messages: [...hi, { ...message, role: "assistant" }, result],
      tools: mistralTools,
    });
    says(answer.choices[0].message.content);
  });
  await check("mistral: tool calls in a stream", async () => {
    const calls = [];
    for await (const { data } of await mistral.chat.stream({ model, messages: hi, tools: mistralTools }))
      calls.push(...(data.choices[0]?.delta.toolCalls ?? []));
    assert.deepEqual(
      calls.map((call) => call.function.name),
      ["get_weather"],
    );
  });
}
await check("mistral: embeddings", async () => {
  const { data } = await mistral.embeddings.create({ model, inputs: ["a"] });
  assert.ok(data[0].embedding.length > 0);
});
await check("mistral: 400", async () => {
  await rejects(
    () => mistral.chat.complete({ model, messages: hi, temperature: -1 }),
    (error) => assert.equal(error.statusCode, 400),
  );
});

// ---- Vercel ai ----
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

// ---- LangChain ----
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

console.log(failed === 0 ? "all clients were content" : `${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
