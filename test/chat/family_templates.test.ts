// Chat templates of model families: what prompts look like, which style of calls they mean, what
// ends an answer, and where reasoning begins.

import { describe, expect, it } from "vitest";
import type { ChatMessage, ToolDefinition } from "../../src/chat/types.ts";
import * as families from "./family_support.ts";
import { chatOf, D } from "./family_support.ts";

const user = (content: string): ChatMessage => ({ role: "user", content });
const tools: readonly ToolDefinition[] = [{ name: "now", description: "The time.", parameters: { type: "object" } }];
const call: ChatMessage = {
  role: "assistant",
  content: "",
  toolCalls: [{ id: "abcdefghi", name: "now", arguments: '{"zone": "CET"}' }],
};
const result: ChatMessage = { role: "tool", toolCallId: "abcdefghi", content: "noon" };

describe("chat templates of families", () => {
  it.each([
    ["Qwen3", families.QWEN, "qwen-json", ["</s>", "<|im_end|>"]],
    ["Qwen3-Coder", families.CODER, "qwen-xml", ["</s>", "<|im_end|>"]],
    ["GLM-4.7", families.GLM, "glm-compact", ["</s>", "<|user|>", "<|observation|>"]],
    ["GLM-4.6", families.GLM_LINES, "glm", ["</s>"]],
    ["DeepSeek V3.1", families.DEEPSEEK, "deepseek", ["</s>", D("end of sentence")]],
    ["DeepSeek R1", families.R1, "deepseek-fenced", ["</s>", D("end of sentence")]],
    ["gpt-oss", families.HARMONY, "harmony", ["</s>", "<|return|>", "<|call|>"]],
    ["MiniMax-M2", families.MINIMAX, "minimax", ["</s>"]],
    ["LFM2", families.LFM2, "lfm2", ["</s>", "<|im_end|>"]],
    ["Granite", families.GRANITE, "granite", ["</s>", "<|end_of_text|>"]],
  ])("%s: the style of calls and the ends of answers", async (_, template, style, ends) => {
    const { chat, stops } = await chatOf(template);
    expect([chat.callStyle, stops]).toEqual([style, ends]);
  });

  it.each([
    ["Qwen3", families.QWEN, { start: {}, on: {}, off: { start: "closed" } }],
    ["GLM-4.7", families.GLM, { start: { start: "open" }, on: { start: "open" }, off: { start: "closed" } }],
    ["GLM-4.6", families.GLM_LINES, { start: { lead: "\n" }, on: { lead: "\n" }, off: { start: "closed" } }],
    ["DeepSeek", families.DEEPSEEK, { start: { start: "closed" }, on: { start: "open" }, off: { start: "closed" } }],
  ] as const)("%s: the switch of reasoning, and what it leaves open", async (_, template, wanted) => {
    const { chat } = await chatOf(template);
    for (const [name, enabled] of [
      ["start", undefined],
      ["on", true],
      ["off", false],
    ] as const) {
      const ids = chat.prompt([user("Hi")], enabled === undefined ? {} : { reasoning: { enabled } });
      const { lead, start } = { start: "none", lead: undefined, ...wanted[name] } as { lead?: string; start: string };
      const found = chat.reasoning(ids)!;
      expect([name, found.start]).toEqual([name, start]);
      if (found.start === "none") expect(found.marks.lead).toBe(lead);
    }
  });

  it("gpt-oss: effort is a word of its system message, in its own levels", async () => {
    const { chat, prompt } = await chatOf(families.HARMONY);
    const effortOf = (effort?: string): string | undefined =>
      /Reasoning: (\w+)/.exec(prompt([user("Hi")], effort === undefined ? {} : { reasoning: { effort } }))?.[1];
    expect([undefined, "high", "low", "minimal", "xhigh", "none", "constructor"].map(effortOf)).toEqual([
      "medium",
      "high",
      "low",
      "low",
      "high",
      "medium",
      "constructor",
    ]);
    expect(chat.reasoning(chat.prompt([user("Hi")]))).toMatchObject({
      marks: { open: "<|channel|>analysis<|message|>", close: "<|end|>" },
      start: "none",
    });
  });

  it("DeepSeek: tools that the template does not show are in the system prompt; arguments are texts", async () => {
    const { prompt } = await chatOf(families.DEEPSEEK);
    const text = prompt([{ role: "system", content: "Be brief." }, user("Hi"), call, result], { tools });
    expect(text).toMatch(/^Be brief\.\n\n## Tools[\s\S]*### now\nDescription: The time\.[\s\S]*\{"type": "object"\}/);
    expect(text).toContain(
      `${D("User")}Hi${D("Assistant")}${D("tool calls begin")}${D("tool call begin")}now${D("tool sep")}{"zone": "CET"}${D("tool call end")}${D("tool calls end")}${D("tool output begin")}noon${D("tool output end")}`,
    );
    expect(prompt([user("Hi")])).toBe(`${D("User")}Hi${D("Assistant")}</think>`);
  });

  it.each([
    ["objects", "{{ m.tool_calls[0].function.arguments | tojson }}"],
    [
      "objects, key by key",
      '{ {%- for k, v in m.tool_calls[0].function.arguments.items() %}"{{ k }}": "{{ v }}"{% endfor -%} }',
    ],
    ["texts that are joined", "{{ '' + m.tool_calls[0].function.arguments }}"],
    ["texts as they are", "{{ m.tool_calls[0].function.arguments }}"],
  ])("arguments are what the template takes: %s", async (_, written) => {
    const { prompt } = await chatOf(
      `{% for t in tools %}{{ t.function.name }}<tool_call>arguments{% endfor %}{% for m in messages %}{% if m.tool_calls %}${written}{% else %}{{ m.content }}{% endif %}{% endfor %}`,
    );
    expect(prompt([user("Hi"), call, result], { tools })).toContain('Hi{"zone": "CET"}noon');
  });

  it("LFM2: calls that the template leaves out are in the text, as Python writes them", async () => {
    const { prompt } = await chatOf(families.LFM2);
    const text = '{"a": "b\\"c", "n": 1.0, "on": true, "of": [null, {"x": false}]}';
    const mixed: ChatMessage = { role: "assistant", toolCalls: [{ id: "abcdefghi", name: "now", arguments: text }] };
    expect(prompt([user("Hi"), mixed, result], { tools })).toContain(
      'now(a="b\\"c", n=1.0, on=True, of=[None, {"x": False}])',
    );
  });

  it("reasoning goes back to the template, with the conversation", async () => {
    const { prompt } = await chatOf(families.QWEN);
    const before: ChatMessage = { role: "assistant", reasoning: "A greeting.", content: "Hello" };
    expect(prompt([user("Hi"), before, user("?")])).toContain("<think>A greeting.</think>Hello<|im_end|>");
  });
});
