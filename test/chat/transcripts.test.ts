// Answers in the forms that the families' documents and other parsers' tests show, in our own
// words: from the template's prompt to reasoning, text and calls, the same however they are cut,
// with marks as text and as control tokens.

import { describe, expect, it } from "vitest";
import type { ReplyEvent } from "../../src/chat/reply.ts";
import type { ToolDefinition } from "../../src/chat/types.ts";
import * as families from "./family_support.ts";
import { chatOf, D } from "./family_support.ts";

const tools: readonly ToolDefinition[] = [
  {
    name: "weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer" }, units: { type: "array" } },
    },
  },
  { name: "now", parameters: { type: "object", properties: {} } },
  { name: "python", parameters: { type: "object", properties: { code: { type: "string" } } } },
];
const [CALLS, CALLS_END] = [D("tool calls begin"), D("tool calls end")];
const [CALL, CALL_END, SEP] = [D("tool call begin"), D("tool call end"), D("tool sep")];

/** Everything that is a mark in one of the families. */
const MARK =
  /(<\|[a-z_]+\|>|<\uff5c[^\uff5c<>]+\uff5c>|<\/?think>|<\/?tool_call>|<\/?arg_key>|<\/?arg_value>|<\/?response>)/;
/** Qwen3.5 and 3.6. */
const OPENED = `${families.CODER.replace("{% if enable_thinking is defined and not enable_thinking %}", "{% if false %}")}<think>\n`;
interface Wanted {
  readonly reasoning?: string;
  readonly text?: string;
  readonly calls?: readonly unknown[];
}
type Case = readonly [name: string, template: string, thinking: boolean | null, answer: string, Wanted];

const OSLO = ["weather", { city: "Oslo" }];
const THREE = ["weather", { city: "Oslo", days: 3 }];
const J = (args: string) => `<tool_call>\n{"name": "weather", "arguments": ${args}}\n</tool_call>`;
const CODE = 'def f(a):\n    return a < 2\n\nprint(f("x"))';

const CASES: readonly Case[] = [
  [
    "Qwen3 thinks and calls twice",
    families.QWEN,
    null,
    `<think>\nBoth, "Oslo" first.\n\nThen 2 < 3.\n</think>\n\n${J('{"city": "Oslo"}')}\n${J('{"city": "Oslo", "days": 3}')}<|im_end|>`,
    { reasoning: 'Both, "Oslo" first.\n\nThen 2 < 3.', calls: [OSLO, THREE] },
  ],
  [
    "Qwen3, thinking off",
    families.QWEN,
    false,
    `I look.\n${J('{"city": "Oslo"}')}`,
    { text: "I look.", calls: [OSLO] },
  ],
  [
    "Qwen3-Coder writes code",
    families.CODER,
    null,
    `I run it.\n<tool_call>\n<function=python>\n<parameter=code>\n${CODE}\n</parameter>\n</function>\n</tool_call>`,
    { text: "I run it.", calls: [["python", { code: CODE }]] },
  ],
  [
    "Qwen3-Coder leaves the opening out, and types are the schema's",
    families.CODER,
    null,
    '<function=weather>\n<parameter=city>\n12\n</parameter>\n<parameter=days>\n3\n</parameter>\n<parameter=units>\n["C"]\n</parameter>\n</function>\n</tool_call>',
    { calls: [["weather", { city: "12", days: 3, units: ["C"] }]] },
  ],
  [
    "Qwen3.5's reasoning mentions calls",
    OPENED,
    null,
    "Perhaps <tool_call>\n<function=now>\n</function>\n</tool_call>? No.\n</think>\n\nIt is noon.",
    {
      reasoning: "Perhaps <tool_call>\n<function=now>\n</function>\n</tool_call>? No.",
      text: "It is noon.",
    },
  ],
  [
    "Qwen3.5 opens again, thinks nothing, calls without arguments",
    OPENED,
    null,
    "<think>\n\n</think>\n\n<tool_call>\n<function=now>\n</function>\n</tool_call>",
    { calls: [["now", {}]] },
  ],
  ["Qwen3.5 stops thinking at once", OPENED, null, "</think>\n\nYes.", { text: "Yes." }],
  [
    "GLM-4.6 begins a line",
    families.GLM_LINES,
    null,
    "\n<think>Look it up.</think>\nI look.\n<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
    { reasoning: "Look it up.", text: "I look.", calls: [THREE] },
  ],
  [
    "GLM-4.7, all in one line",
    families.GLM,
    true,
    "Two.</think><tool_call>weather<arg_key>city</arg_key><arg_value>Oslo</arg_value></tool_call><tool_call>now</tool_call>",
    { reasoning: "Two.", calls: [OSLO, ["now", {}]] },
  ],
  ["GLM-4.7, thinking off", families.GLM, false, "Just so.", { text: "Just so." }],
  [
    "DeepSeek V3.1 thinks, speaks and calls twice",
    families.DEEPSEEK,
    true,
    `Both.</think>I look.${CALLS}${CALL}weather${SEP}{"city": "Oslo"}${CALL_END}${CALL}now${SEP}{}${CALL_END}${CALLS_END}`,
    { reasoning: "Both.", text: "I look.", calls: [OSLO, ["now", {}]] },
  ],
  ["DeepSeek V3.1, thinking off", families.DEEPSEEK, null, "Yes.", { text: "Yes." }],
  [
    "DeepSeek R1 fences arguments, here without a line behind them",
    families.R1,
    true,
    `Hm.\n</think>\n\n${CALLS}${CALL}function${SEP}weather\n\`\`\`json\n{"city": "Oslo"}\`\`\`${CALL_END}\n${CALL}function${SEP}now\n\`\`\`json\n{}\n\`\`\`${CALL_END}${CALLS_END}`,
    { reasoning: "Hm.", calls: [OSLO, ["now", {}]] },
  ],
  [
    "gpt-oss thinks and answers",
    families.HARMONY,
    null,
    "<|channel|>analysis<|message|>Simple.<|end|><|start|>assistant<|channel|>final<|message|>2 + 2 = 4.<|return|>",
    { reasoning: "Simple.", text: "2 + 2 = 4." },
  ],
  [
    "gpt-oss plans aloud, then calls",
    families.HARMONY,
    null,
    '<|channel|>analysis<|message|>A file.<|end|><|start|>assistant<|channel|>commentary<|message|>**Plan**:\n1. Look<|end|><|start|>assistant<|channel|>commentary to=functions.weather<|constrain|>json<|message|>{"city": "Oslo"}<|call|>',
    { reasoning: "A file.", text: "**Plan**:\n1. Look", calls: [OSLO] },
  ],
  [
    "gpt-oss names the recipient in front of the channel, here analysis",
    families.HARMONY,
    null,
    '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant to=functions.weather<|channel|>analysis <|constrain|>json<|message|>{"city": "Oslo"}',
    { reasoning: "Hm.", calls: [OSLO] },
  ],
  [
    "gpt-oss writes code for another type, and ends with <|end|>",
    families.HARMONY,
    null,
    '<|channel|>commentary to=weather code<|message|>{"city": "Oslo", "days": 3}<|end|>',
    { calls: [THREE] },
  ],
  [
    "gpt-oss begins a header twice",
    families.HARMONY,
    null,
    "<|channel|>commentary to=assistant<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=assistant<|channel|>final<|message|>Yes.",
    { reasoning: "Hm.", text: "Yes." },
  ],
  [
    "gpt-oss answers in a format",
    families.HARMONY,
    null,
    '<|channel|>final <|constrain|>json<|message|>{"a": "<b>"}<|return|>',
    { text: '{"a": "<b>"}' },
  ],
  [
    "Granite 3.1 calls",
    families.GRANITE,
    null,
    '<|tool_call|>[{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "now", "arguments": {}}]<|end_of_text|>',
    { calls: [OSLO, ["now", {}]] },
  ],
  [
    "Granite 3.3 marks its thoughts and its answer",
    families.GRANITE,
    true,
    "<think>A < b.</think>\n<response>So <b> it is.</response>",
    { reasoning: "A < b.", text: "So <b> it is." },
  ],
  [
    "ERNIE 4.5 in lines of their own, with a call behind them",
    `${families.QWEN}{# <response> #}`,
    null,
    `<think>\nHm.\n</think>\n\n<response>\nI look,\n\nnow.\n</response>\n${J('{"city": "Oslo"}')}\n`,
    { reasoning: "Hm.", text: "I look,\n\nnow.", calls: [OSLO] },
  ],
  [
    "LFM2 writes Python, and a text behind it",
    families.LFM2,
    null,
    "I look. <|tool_call_start|>[weather(city='Oslo', days=3), now()]<|tool_call_end|>Both are asked.<|im_end|>",
    { text: "I look.Both are asked.", calls: [THREE, ["now", {}]] },
  ],
  [
    "MiniMax-M2 thinks in a block that its template opened",
    families.MINIMAX,
    null,
    'Two.\n</think>\n\n<minimax:tool_call>\n<invoke name="weather">\n<parameter name="city">Oslo</parameter>\n</invoke>\n<invoke name="now">\n</invoke>\n</minimax:tool_call>',
    { reasoning: "Two.", calls: [OSLO, ["now", {}]] },
  ],
  ["Granite 3.3 without marks", families.GRANITE, true, "It is 4 </response>.", { text: "It is 4 </response>." }],
];

describe("transcripts", () => {
  it.each(CASES)("%s, cut anywhere", async (_, template, enabled, answer, wanted) => {
    const { chat, tokenizer } = await chatOf(template);
    const options = { tools, ...(enabled !== null && { reasoning: { enabled } }) };
    const prompt = chat.prompt([{ role: "user", content: "?" }], options);
    const read = (parts: readonly string[], { asTokens = false, limited = false } = {}) => {
      const parser = chat.parser(options, prompt);
      const events: ReplyEvent[] = [];
      for (const part of parts) {
        const id = asTokens ? tokenizer.pieceToId(part) : null;
        const silent = id !== null && tokenizer.isSpecial(id);
        events.push(...parser.push(silent ? "" : part, [id ?? 300]));
      }
      events.push(...parser.end(limited));
      const joined = (type: string): string =>
        events.map((event) => (event.type === type && "text" in event ? event.text : "")).join("");
      const calls = events.flatMap((event, i) => {
        const next = events[i + 1];
        return event.type === "tool_call" && next?.type === "tool_arguments"
          ? [[event.name, JSON.parse(next.text) as unknown]]
          : [];
      });
      const odd = events.filter(({ type }) => type === "malformed" || type === "cut");
      return { reasoning: joined("reasoning"), text: joined("text"), calls, odd };
    };
    const all = { reasoning: "", text: "", calls: [], ...wanted, odd: [] };
    const clean = answer.replace(/<\|im_end\|>$/, ""); // it ends the generation, without text
    expect(read([clean])).toEqual(all);
    expect(read([...clean])).toEqual(all);
    for (let at = 0; at <= clean.length; at++)
      expect(read([clean.slice(0, at), clean.slice(at)]), `cut at ${at}`).toEqual(all);
    for (let at = 0; at < clean.length; at++) {
      const { text, reasoning } = read([clean.slice(0, at)], { limited: true });
      // One character of a mark may be anything.
      expect(all.text, `limit at ${at}`).toContain(text.replace(/\s*<?$/, ""));
      expect(all.reasoning, `limit at ${at}`).toContain(reasoning.replace(/\s*<?$/, ""));
    }
    const pieces = answer.split(MARK).filter((piece) => piece !== "");
    expect(read(pieces, { asTokens: true }), "marks as tokens").toEqual(all);
  });
});
