// Messages without a text: clients that leave out what is null send an answer without content, and
// a tool's result without one.

import { describe, expect, it } from "vitest";
import { createApp } from "../../src/server/app.ts";
import { fakeModel } from "./fake_model.ts";

async function texts(path: string, messages: readonly object[]): Promise<unknown> {
  const model = fakeModel();
  const response = await createApp(model).request(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ max_tokens: 5, messages }),
  });
  expect(response.status, await response.text()).toBe(200);
  return model.asked[0]!.messages!.map(({ role, content }) => [role, content]);
}

const asks = { role: "user", content: "hi" };

describe("an empty text", () => {
  it.each<[object]>([[{}], [{ content: null }], [{ content: "" }], [{ content: [] }]])(
    "is an answer of %j",
    async (content) => {
      for (const path of ["/v1/chat/completions", "/v1/messages"]) {
        expect(await texts(path, [asks, { role: "assistant", ...content }, asks])).toEqual([
          ["user", "hi"],
          ["assistant", ""],
          ["user", "hi"],
        ]);
      }
    },
  );

  it.each<[object]>([[{}], [{ content: null }], [{ content: "" }], [{ content: [] }]])(
    "is a tool's result of %j",
    async (content) => {
      const call = { id: "a", type: "function", function: { name: "f", arguments: "{}" } };
      const openai = [
        { role: "assistant", tool_calls: [call] },
        { role: "tool", tool_call_id: "a", ...content },
      ];
      const expected = [
        ["user", "hi"],
        ["assistant", ""],
        ["tool", ""],
      ];
      expect(await texts("/v1/chat/completions", [asks, ...openai])).toEqual(expected);
      const anthropic = [
        { role: "assistant", content: [{ type: "tool_use", id: "a", name: "f", input: {} }] },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "a", ...content }] },
      ];
      expect(await texts("/v1/messages", [asks, ...anthropic])).toEqual(expected);
    },
  );
});
