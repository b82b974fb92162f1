// Chat templates of model families: small ones of our own with the families' marks. What prompts
// look like, which style of calls they mean, what ends an answer, and where reasoning begins.

import { describe, expect, it } from "vitest";
import { openChat } from "../../src/chat/conventions.ts";
import type { ChatMessage, ToolDefinition } from "../../src/chat/types.ts";
import { TALES_JSON, tokenizerOf } from "../tokenizer/support.ts";
import { memoryFiles } from "../weights/memory_files.ts";

const D = (words: string): string => `<\uff5c${words.replaceAll(" ", "\u2581")}\uff5c>`;

const json = JSON.parse(TALES_JSON) as { added_tokens: object[] };

/** A chat with a template whose marks are tokens; those in angles alone are part of the text. */
async function chatOf(template: string) {
  const found = template.match(/<\|[a-z_]+\|>|<\uff5c[^\uff5c<>]+\uff5c>|<\/?think>|<\/?tool_call>/g) ?? [];
  const added = [...new Set(found)].map((content, i) => ({
    id: 4096 + i,
    content,
    special: !/^<\/?[a-z_]+>$/.test(content),
    normalized: false,
    lstrip: false,
    rstrip: false,
    single_word: false,
  }));
  const tokenizer = await tokenizerOf({
    "tokenizer.json": { ...json, added_tokens: [...json.added_tokens, ...added] },
    "tokenizer_config.json": { bos_token: "<s>", eos_token: "</s>" },
  });
  const chat = await openChat(memoryFiles({ "chat_template.jinja": template }), tokenizer);
  /** The prompt without the spaces that this vocabulary puts behind control tokens. */
  const prompt = (...given: Parameters<typeof chat.prompt>): string =>
    tokenizer.decode(chat.prompt(...given), { skipSpecialTokens: false }).replace(/(?<=[|\uff5c>]) /g, "");
  const stops = chat.stopIds.map((id) => tokenizer.idToPiece(id));
  return { chat, prompt, stops };
}

const user = (content: string): ChatMessage => ({ role: "user", content });
const tools: readonly ToolDefinition[] = [{ name: "now", description: "The time.", parameters: { type: "object" } }];
const call: ChatMessage = {
  role: "assistant",
  content: "",
  toolCalls: [{ id: "abcdefghi", name: "now", arguments: '{"zone": "CET"}' }],
};
const result: ChatMessage = { role: "tool", toolCallId: "abcdefghi", content: "noon" };

const QWEN = `{% for t in tools %}{{ t | tojson }}<tool_call>{"arguments": {}}</tool_call>{% endfor %}
{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% endif %}{% endif %}`;
const GLM = `{% for t in tools %}<arg_key></arg_key><arg_value></arg_value>{% endfor %}
{%- for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{{ '</think>' if enable_thinking is false else '<think>' }}{% endif %}{# <|user|> <|observation|> #}`;
const GLM_LINES = `{% for t in tools %}<arg_key></arg_key>
<arg_value></arg_value>{% endfor %}{% for m in messages %}<|{{ m.role }}|>
{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{{ '\\n<think></think>' if enable_thinking is false else '' }}{% endif %}`;
const DEEPSEEK = `{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'tool' %}${D("tool output begin")}{{ m.content }}${D("tool output end")}
{%- elif m.role == 'user' %}${D("User")}{{ m.content }}{% elif m.content is none %}${D("Assistant")}${D("tool calls begin")}
{%- for c in m.tool_calls %}${D("tool call begin")}{{ c.function.name + '${D("tool sep")}' + c.function.arguments }}${D("tool call end")}{% endfor %}${D("tool calls end")}
{%- else %}${D("Assistant")}{{ m.content }}${D("end of sentence")}{% endif %}{% endfor %}{% if add_generation_prompt %}${D("Assistant")}{{ '<think>' if thinking else '</think>' }}{% endif %}`;
const HARMONY = `<|start|>system<|message|>Reasoning: {{ reasoning_effort or 'medium' }}<|end|>
{%- for m in messages %}<|start|>{{ m.role }}{% if m.tool_calls %}<|channel|>commentary to=functions.{{ m.tool_calls[0].function.name }}<|message|>
{{- m.tool_calls[0].function.arguments | tojson }}<|call|>{% else %}{% if m.role == 'assistant' %}<|channel|>final{% endif %}<|message|>{{ m.content }}<|end|>{% endif %}
{%- endfor %}{% if tools %}{{ tools[0].function.name }}{% endif %}<|start|>assistant{# <|return|> #}`;
const GRANITE = `{% if tools %}{{ tools | tojson }}<|tool_call|>{% endif %}
{%- for m in messages %}<|start_of_role|>{{ m.role }}<|end_of_role|>{{ m.content }}<|end_of_text|>
{% endfor %}{% if thinking %}<think></think><response></response>{% endif %}<|start_of_role|>assistant<|end_of_role|>`;

describe("chat templates of families", () => {
  it.each([
    ["Qwen3", QWEN, "qwen-json", ["</s>", "<|im_end|>"]],
    ["Qwen3-Coder", QWEN.replace('{"arguments": {}}', "<function=f><parameter=p>"), "qwen-xml", ["</s>", "<|im_end|>"]],
    ["GLM-4.7", GLM, "glm-compact", ["</s>", "<|user|>", "<|observation|>"]],
    ["GLM-4.6", GLM_LINES, "glm", ["</s>"]],
    ["DeepSeek V3.1", DEEPSEEK, "deepseek", ["</s>", D("end of sentence")]],
    [
      "DeepSeek R1",
      DEEPSEEK.replace("+ c.function.arg", "+ '\\n```json\\n' + c.function.arg"),
      "deepseek-fenced",
      ["</s>", D("end of sentence")],
    ],
    ["gpt-oss", HARMONY, "harmony", ["</s>", "<|return|>", "<|call|>"]],
    ["Granite", GRANITE, "granite", ["</s>", "<|end_of_text|>"]],
  ])("%s: the style of calls and the ends of answers", async (_, template, style, ends) => {
    const { chat, stops } = await chatOf(template);
    expect([chat.callStyle, stops]).toEqual([style, ends]);
  });

  it.each([
    ["Qwen3", QWEN, { start: {}, on: {}, off: { start: "closed" } }],
    ["GLM-4.7", GLM, { start: { start: "open" }, on: { start: "open" }, off: { start: "closed" } }],
    ["GLM-4.6", GLM_LINES, { start: { lead: "\n" }, on: { lead: "\n" }, off: { start: "closed" } }],
    ["DeepSeek", DEEPSEEK, { start: { start: "closed" }, on: { start: "open" }, off: { start: "closed" } }],
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
    const { chat, prompt } = await chatOf(HARMONY);
    const effortOf = (effort?: string): string | undefined =>
      /Reasoning: (\w+)/.exec(prompt([user("Hi")], effort === undefined ? {} : { reasoning: { effort } }))?.[1];
    expect([undefined, "high", "low", "minimal", "xhigh", "none"].map(effortOf)).toEqual([
      "medium",
      "high",
      "low",
      "low",
      "high",
      "medium",
    ]);
    expect(chat.reasoning(chat.prompt([user("Hi")]))).toMatchObject({
      marks: { open: "<|channel|>analysis<|message|>", close: "<|end|>" },
      start: "none",
    });
  });

  it("DeepSeek: tools that the template does not show are in the system prompt; arguments are texts", async () => {
    const { prompt } = await chatOf(DEEPSEEK);
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

  it("reasoning goes back to the template, with the conversation", async () => {
    const { prompt } = await chatOf(QWEN);
    const before: ChatMessage = { role: "assistant", reasoning: "A greeting.", content: "Hello" };
    expect(prompt([user("Hi"), before, user("?")])).toContain("<think>A greeting.</think>Hello<|im_end|>");
  });
});
