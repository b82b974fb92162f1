// Threads, which Anthropic's client begins for its tool runner.

import { expect, it } from "vitest";
import { createApp } from "../../src/server/app.ts";
import { fakeModel } from "./fake_model.ts";

// As the client sends it.
const ASKED = {
  model: "m",
  max_tokens: 160,
  messages: [{ role: "user", content: "hi" }],
  thread: { type: "create" },
  stream: false,
};

async function ask(more: object): Promise<[number, { readonly error?: object }]> {
  const response = await createApp(fakeModel()).request("/v1/messages", {
    method: "POST",
    headers: { "content-type": "application/json", "anthropic-version": "2023-06-01" },
    body: JSON.stringify({ ...ASKED, ...more }),
  });
  return [response.status, (await response.json()) as { error?: object }];
}

it("a thread is refused with the code at which the client goes on without", async () => {
  expect(await ask({})).toEqual([
    400,
    {
      type: "error",
      error: {
        type: "invalid_request_error",
        message: expect.stringMatching(/^thread: .*send the whole conversation/),
        details: { error_code: "thread_unsupported_request", unsupported: ["thread"] },
      },
    },
  ]);
  expect((await ask({ thread: undefined }))[0]).toBe(200);
  const [status, { error }] = await ask({ thread: undefined, temperature: -1 });
  expect([status, error]).toEqual([400, expect.not.objectContaining({ details: expect.anything() })]);
});
