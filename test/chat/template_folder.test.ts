// What a folder's template files say beside the prompt: ends of answers, special tokens, templates
// for tools; Mistral's v7.

import { describe, expect, it } from "vitest";
import { openChat } from "../../src/chat/conventions.ts";
import { mistralPrompt, mistralVersion } from "../../src/chat/mistral.ts";
import { readTemplate } from "../../src/chat/template.ts";
import type { ChatMessage, ToolDefinition } from "../../src/chat/types.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { tokenizerOf } from "../tokenizer/support.ts";
import { memoryFiles } from "../weights/memory_files.ts";
import { CONTROL_FILES, controls, piecesOf } from "./support.ts";

const user = (content: string): ChatMessage => ({ role: "user", content });
const assistant = (content: string): ChatMessage => ({ role: "assistant", content });
const system = (content: string): ChatMessage => ({ role: "system", content });
const tool: ToolDefinition = { name: "f", description: "d", parameters: { type: "object", properties: {} } };

interface TokenizerJson {
  readonly added_tokens: readonly object[];
}
const JSON_FILE = CONTROL_FILES["tokenizer.json"] as unknown as TokenizerJson;

/** The vocabulary with control tokens and these behind them. */
function withTokens(names: readonly string[], special = true): Promise<Tokenizer> {
  const added = names.map((content, i) => ({ id: 4105 + i, content, special, normalized: false }));
  const json = { ...JSON_FILE, added_tokens: [...JSON_FILE.added_tokens, ...added] };
  return tokenizerOf({ ...CONTROL_FILES, "tokenizer.json": json });
}

describe("the token that a template puts behind an answer", () => {
  it.each<[string, string, boolean, string[]]>([
    ["a control token", "{% for m in messages %}{{ m.content }}[OWN]{% endfor %}", true, ["[OWN]"]],
    ["behind white space", "{% for m in messages %}{{ m.content }}\n [OWN]\n{% endfor %}", true, ["[OWN]"]],
    [
      "a token that is not marked as one",
      "{% for m in messages %}{{ m.content }}<|own|>{% endfor %}",
      false,
      ["<|own|>"],
    ],
    ["text", "{% for m in messages %}{{ m.content }} end{% endfor %}", true, []],
    ["nothing", "{% for m in messages %}{{ m.content }}{% endfor %}", true, []],
    ["BOS of the next turn", "{% for m in messages %}{{ m.content }}<s>{% endfor %}", true, []],
    ["where the assistant is left out", "{{ messages[0].content }}[OWN]", true, []],
    [
      "where tools are needed",
      "{% for t in tools %}{% endfor %}{% for m in messages %}{{ m.content }}[OWN]{% endfor %}",
      true,
      ["[OWN]"],
    ],
  ])("%s", async (_, template, special, wanted) => {
    const tokenizer = await withTokens(["[OWN]", "<|own|>"], special);
    const chat = await openChat(memoryFiles({ "chat_template.jinja": template }), tokenizer);
    const found = chat.stopIds.filter((id) => !tokenizer.eosIds.includes(id));
    expect(found.map((id) => tokenizer.idToPiece(id))).toEqual(wanted);
  });
});

describe("a template that needs tools", () => {
  const template = "{{ tools[0].function.name }}{% for m in messages %}{{ m.content }}{% endfor %}";
  it("opens, and answers with tools", async () => {
    const chat = await openChat(memoryFiles({ "chat_template.jinja": template }), controls);
    expect(controls.decode(chat.prompt([user("Hi")], { tools: [tool] }))).toBe("fHi");
  });

  it("that goes through them gets an empty list where there are none", async () => {
    const looped = "{% for t in tools %}{{ t.function.name }}{% endfor %}{{ messages[0].content }}";
    const chat = await openChat(memoryFiles({ "chat_template.jinja": looped }), controls);
    expect(controls.decode(chat.prompt([user("Hi")]))).toBe("Hi");
  });
});

it("a fault is told of the file that it is in", async () => {
  const files = memoryFiles({
    "chat_template.jinja": "{{ messages[0].content }}",
    "additional_chat_templates/tool_use.jinja": "{% if %}",
  });
  await expect(openChat(files, controls)).rejects.toThrow(
    /additional_chat_templates\/tool_use\.jinja: chat template: line 1/,
  );
});

it("a list without a default says which names it has", async () => {
  const files = memoryFiles({
    "tokenizer_config.json": JSON.stringify({ chat_template: [{ name: "rag", template: "x" }] }),
  });
  await expect(openChat(files, controls)).rejects.toThrow(/one named "default", found those named "rag"/);
});

describe("special tokens in templates", () => {
  const text = "x";
  it.each<[string, Record<string, object>, Record<string, unknown>]>([
    [
      "by name",
      { "tokenizer_config.json": { bos_token: "<s>", image_token: { content: "<i>" } } },
      { bos_token: "<s>", image_token: "<i>" },
    ],
    [
      "additional ones as a list",
      { "tokenizer_config.json": { additional_special_tokens: ["<a>", { content: "<b>" }] } },
      { additional_special_tokens: ["<a>", "<b>"] },
    ],
    [
      "of special_tokens_map.json",
      { "special_tokens_map.json": { eos_token: "</s>", additional_special_tokens: ["<a>"] } },
      { eos_token: "</s>", additional_special_tokens: ["<a>"] },
    ],
    [
      "named ones of transformers 5",
      { "tokenizer_config.json": { extra_special_tokens: { boi_token: "<boi>" } } },
      { boi_token: "<boi>" },
    ],
    [
      "the list of transformers 5",
      { "tokenizer_config.json": { extra_special_tokens: ["<a>"] } },
      { additional_special_tokens: ["<a>"] },
    ],
  ])("%s", async (_, files, tokens) => {
    const contents = Object.fromEntries(Object.entries(files).map(([name, json]) => [name, JSON.stringify(json)]));
    const source = await readTemplate(memoryFiles({ ...contents, "chat_template.jinja": text }));
    expect(source?.tokens).toEqual(tokens);
  });

  it("a template writes them as control tokens", async () => {
    const tokenizer = await withTokens(["<a>"]);
    const files = memoryFiles({
      "chat_template.jinja": "{{ additional_special_tokens[0] }}{{ messages[0].content }}",
      "tokenizer_config.json": JSON.stringify({ additional_special_tokens: ["<a>"] }),
    });
    const chat = await openChat(files, tokenizer);
    expect(piecesOf(tokenizer, chat.prompt([user("<a>")]).slice(0, 1))).toBe("<a>");
    expect(chat.prompt([user("<a>")]).filter((id) => tokenizer.isSpecial(id))).toHaveLength(1);
  });
});

describe("Mistral's v7", async () => {
  const names = ["[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"];
  const tokenizer = await withTokens(names);
  const call: ChatMessage = {
    role: "assistant",
    content: "Let me see",
    toolCalls: [{ id: "abcdefghi", name: "f", arguments: '{"x": "a"}' }],
  };
  const result: ChatMessage = { role: "tool", toolCallId: "abcdefghi", content: '{"t":1}' };

  it("is known by its control tokens", () => {
    expect(mistralVersion(tokenizer, [])).toBe("v7");
    expect(mistralVersion(controls, [])).toBe("v3");
  });

  // Texts as mistral-common 1.12.0 gives them for its v7 tokenizer (MistralTokenizer.v7(),
  // encode_chat_completion().text).
  it.each<[string, ChatMessage[], ToolDefinition[], string]>([
    [
      "system, tools, a call and its result",
      [system("Be brief."), user("Hi"), assistant("Yes?"), user("W?"), call, result, assistant("It is 1 "), user("?")],
      [tool],
      '<s>[SYSTEM_PROMPT]▁Be▁brief.[/SYSTEM_PROMPT][INST]▁Hi[/INST]▁Yes?</s>[INST]▁W?[/INST]▁Let▁me▁see[TOOL_CALLS]▁[{"name":▁"f",▁"arguments":▁{"x":▁"a"},▁"id":▁"abcdefghi"}]</s>[TOOL_RESULTS]▁abcdefghi[TOOL_CONTENT]▁{"t":1}[/TOOL_RESULTS]▁It▁is▁1</s>[AVAILABLE_TOOLS]▁[{"type":▁"function",▁"function":▁{"name":▁"f",▁"description":▁"d",▁"parameters":▁{"type":▁"object",▁"properties":▁{}}}}][/AVAILABLE_TOOLS][INST]▁?[/INST]',
    ],
    [
      "two system messages, two of the user",
      [system("A"), system("B"), user("x"), user("y")],
      [],
      "<s>[SYSTEM_PROMPT]▁A[/SYSTEM_PROMPT][SYSTEM_PROMPT]▁B[/SYSTEM_PROMPT][INST]▁x\n\ny[/INST]",
    ],
    [
      "a system message in the middle",
      [system("A"), user("x"), system("B"), user("y")],
      [],
      "<s>[SYSTEM_PROMPT]▁A[/SYSTEM_PROMPT][INST]▁x[/INST][SYSTEM_PROMPT]▁B[/SYSTEM_PROMPT][INST]▁y[/INST]",
    ],
  ])("%s", (_, messages, tools, text) => {
    const ids = mistralPrompt(tokenizer, "v7", messages, { tools });
    const shown = piecesOf(tokenizer, ids).replaceAll("<0x0A>", "\n");
    expect(shown).toBe(text);
  });

  it("later versions have calls in a form that is not read: tools go by the JSON protocol there", async () => {
    const later = await withTokens([...names, "[ARGS]", "[CALL_ID]"]);
    expect((await openChat(memoryFiles({}), later)).callStyle).toBe("json");
    expect((await openChat(memoryFiles({}), tokenizer)).callStyle).toBe("mistral-v3");
  });
});
