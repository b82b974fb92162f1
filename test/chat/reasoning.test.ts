// Reasoning taken out of answers: the same however they are cut, and never any of its marks.

import { describe, expect, it } from "vitest";
import { openChat } from "../../src/chat/conventions.ts";
import { marksOf, type ReasoningStart, reasoningVariables, withReasoning } from "../../src/chat/reasoning.ts";
import { jsonStyle } from "../../src/chat/styles/json.ts";
import { memoryFiles } from "../weights/memory_files.ts";
import { controls, piecesOf } from "./support.ts";

const MARKS = { open: "<think>", close: "</think>" };

function read(parts: readonly string[], start: ReasoningStart = "none", tools: readonly string[] = []) {
  const inner = jsonStyle.parser({ tokenizer: controls, tools: new Set(tools), continued: false, required: false });
  const parser = withReasoning(inner, MARKS, start, controls);
  const events = [...parts.flatMap((part) => parser.push(part, [300])), ...parser.end()];
  const join = (type: string) => events.map((e) => (e.type === type && "text" in e ? e.text : "")).join("");
  return { reasoning: join("reasoning"), text: join("text"), calls: join("tool_arguments"), before: parser.reasoned };
}

/** Short answers in the forms that Qwen3, its 2507 versions, QwQ, GLM and DeepSeek write. */
const ANSWERS: readonly (readonly [string, ReasoningStart, string, string])[] = [
  ["<think>\nOkay, 2 < 3.\n\nSo yes.\n</think>\n\nYes.", "none", "Okay, 2 < 3.\n\nSo yes.", "Yes."],
  ["Okay.\n</think>\n\nYes.", "open", "Okay.", "Yes."],
  ["\nOkay.</think>Yes.", "open", "Okay.", "Yes."],
  ["<think></think>\nYes.", "none", "", "Yes."],
  ["<think>\n\n</think>\n\nYes.", "none", "", "Yes."],
  ["<think>Cut off </thi", "none", "Cut off </thi", ""],
  ["<think>only</think>", "none", "only", ""],
  ["Yes, <think> is a tag, and so is </think>.", "none", "", "Yes, <think> is a tag, and so is </think>."],
  ["<thin air>", "none", "", "<thin air>"],
  ["<thi", "none", "", "<thi"],
  ["Yes.", "closed", "", "Yes."],
  ["<think>a </b> < </ think></think>Yes </think> no", "none", "a </b> < </ think>", "Yes </think> no"],
  ["", "open", "", ""],
];

describe("reasoning", () => {
  it.each(ANSWERS)("%j (%s), cut anywhere", (answer, start, reasoning, text) => {
    const wanted = { reasoning, text };
    expect(read([answer], start)).toMatchObject(wanted);
    expect(read([...answer], start)).toMatchObject(wanted);
    for (let at = 0; at <= answer.length; at++)
      expect(read([answer.slice(0, at), answer.slice(at)], start)).toMatchObject(wanted);
  });

  it("calls behind it are calls", () => {
    const call = '<think>\nA tool.\n</think>\n\n{"tool_calls": [{"name": "f", "arguments": {"a": 1}}]}';
    for (const parts of [[call], [...call]])
      expect(read(parts, "none", ["f"])).toMatchObject({ reasoning: "A tool.", text: "", calls: '{"a": 1}' });
  });

  it("counts the characters in front of the text", () => {
    expect(read([..."<think>é😀</think>\n\nYes"]).before).toBe("<think>é😀</think>\n\n".length - 1);
    expect(read([..."Yes"]).before).toBe(0);
  });

  it("counts its tokens, the end mark's among them", () => {
    const counted = (parts: readonly (readonly [string, number[]])[], start: ReasoningStart = "none"): number => {
      const inner = jsonStyle.parser({ tokenizer: controls, tools: new Set(), continued: false, required: false });
      const parser = withReasoning(inner, MARKS, start, controls);
      for (const [text, ids] of parts) parser.push(text, ids);
      parser.end();
      return parser.reasoningTokens!;
    };
    expect(
      counted([
        ["<think>", [301]],
        ["a b", [302, 303]],
        ["</think>", [304]],
        ["\n\n", [305]],
        ["Yes", [306]],
      ]),
    ).toBe(4);
    expect(
      counted([
        ["<th", [301]],
        ["ink>a</th", [302]],
        ["ink>Yes", [303, 304]],
      ]),
    ).toBe(4);
    expect(
      counted(
        [
          ["a", [301]],
          ["b", [302]],
        ],
        "open",
      ),
    ).toBe(2);
    expect(
      counted([
        ["<th", [301]],
        ["in air", [302]],
        [".", [303]],
      ]),
    ).toBe(0);
    expect(counted([["Yes", [301]]], "closed")).toBe(0);
  });

  it("is known by the template, and switched by its variables", () => {
    expect(marksOf("... {{ '</think>' }}")).toEqual(MARKS);
    expect(marksOf("no such mark")).toBeNull();
    expect(reasoningVariables({ enabled: false }, { thinking: 1 })).toEqual({ enable_thinking: false, thinking: 1 });
    expect(reasoningVariables({ effort: "none" })).toEqual({ enable_thinking: false, thinking: false });
    expect(reasoningVariables({ effort: "low" })).toEqual({ reasoning_effort: "low" });
  });

  it("a template that opens it, closes it, and shows it in history", async () => {
    const template = `{%- for m in messages -%}<|im_start|>{{ m.role }} {% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}<|im_end|>{%- endfor -%}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% else %}<think>
{% endif %}`;
    const chat = await openChat(memoryFiles({ "chat_template.jinja": template }), controls);
    const ask = { role: "user", content: "hi" } as const;
    const start = (ids: readonly number[]) => chat.reasoning(ids)?.start;
    expect(start(chat.prompt([ask]))).toBe("open");
    expect(start(chat.prompt([ask], { reasoning: { enabled: false } }))).toBe("closed");
    const ids = chat.prompt([ask, { role: "assistant", content: "ho", reasoning: "hm" }, ask]);
    expect(piecesOf(controls, ids)).toContain("<think>hm</think>ho");
    const parser = chat.parser({}, ids);
    expect([...parser.push("a</think>b", [300]), ...parser.end()]).toEqual([
      { type: "reasoning", text: "a" },
      { type: "text", text: "b" },
    ]);
  });
});
