// OpenRouter's client against a running server, moved by its base URL alone; run by run.mjs.

import assert from "node:assert/strict";
import { OpenRouter } from "@openrouter/sdk";
import { BASE, check, FAKE, hi, KEY, model, rejects, says } from "./support.mjs";

for (const path of ["/api/v1", "/v1"]) {
  const client = (apiKey) =>
    new OpenRouter({
      serverURL: BASE + path,
      apiKey,
      retryConfig: { strategy: "none" },
      httpReferer: "https://a.example",
    });
  const openrouter = client(KEY);
  const send = (more) => openrouter.chat.send({ chatRequest: { model, messages: hi, maxTokens: 24, ...more } });

  await check(`openrouter ${path}: models`, async () => {
    const { data } = (await openrouter.models.list()).result;
    assert.ok(data[0].contextLength > 0);
  });
  await check(`openrouter ${path}: chat`, async () => says((await send({})).choices[0].message.content));
  await check(`openrouter ${path}: stream`, async () => {
    let text = "";
    let usage;
    for await (const chunk of await send({ stream: true })) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage ??= chunk.usage;
    }
    says(text);
    assert.ok(usage.totalTokens > 0);
  });
  await check(`openrouter ${path}: callModel`, async () => {
    const answer = openrouter.callModel({ model, input: "hi", maxOutputTokens: 24 });
    says(await answer.getText());
  });
  await check(`openrouter ${path}: 400`, async () => {
    await rejects(
      () => send({ temperature: -1 }),
      (error) => assert.deepEqual([error.name, error.error.code], ["BadRequestResponseError", 400]),
    );
  });
  if (FAKE) {
    await check(`openrouter ${path}: an error within a stream`, async () => {
      let error;
      for await (const chunk of await send({ stream: true, messages: [{ role: "user", content: "lost" }] }))
        error ??= chunk.error;
      assert.deepEqual([error.code, error.message], [500, "device lost"]);
    });
    await check(`openrouter ${path}: another's key`, async () => {
      await rejects(
        () => client("x").chat.send({ chatRequest: { model, messages: hi } }),
        (error) => assert.deepEqual([error.statusCode, error.error.code], [401, 401]),
      );
    });
  }
}
