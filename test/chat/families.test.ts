// Answers of gpt-oss, DeepSeek and Granite: the same events however an answer is cut, whether marks
// are text or control tokens, and no mark ever shown.

import { describe, expect, it } from "vitest";
import { harmonyHeader } from "../../src/chat/harmony_reply.ts";
import type { ReplyEvent } from "../../src/chat/reply.ts";
import { deepseekCalls } from "../../src/chat/styles/deepseek.ts";
import { graniteCalls } from "../../src/chat/styles/granite.ts";
import { harmonyStyle } from "../../src/chat/styles/harmony.ts";
import { styleOf } from "../../src/chat/styles/index.ts";
import { TALES_JSON, tokenizerOf } from "../tokenizer/support.ts";

const D = (words: string): string => `<\uff5c${words.replaceAll(" ", "\u2581")}\uff5c>`;
const [CALLS, CALLS_END, CALL, CALL_END, SEP] = [
  "tool calls begin",
  "tool calls end",
  "tool call begin",
  "tool call end",
  "tool sep",
].map(D) as [string, string, string, string, string];
const MARKS = [
  ..."<|start|> <|end|> <|message|> <|channel|> <|constrain|> <|return|> <|call|> <|tool_call|> <|end_of_text|>".split(
    " ",
  ),
  CALLS,
  CALLS_END,
  CALL,
  CALL_END,
  SEP,
];

const json = JSON.parse(TALES_JSON) as { added_tokens: object[] };
const added = MARKS.map((content, i) => ({
  id: 4096 + i,
  content,
  special: true,
  normalized: false,
  lstrip: false,
  rstrip: false,
  single_word: false,
}));
const tokenizer = await tokenizerOf({
  "tokenizer.json": { ...json, added_tokens: [...json.added_tokens, ...added] },
  "tokenizer_config.json": { bos_token: "<s>", eos_token: "</s>" },
});
const traits = (template: string) => ({ tokenizer, mistral: "v1", showsTools: true, template }) as const;
const STYLES = {
  harmony: harmonyStyle(traits("<|channel|> <|message|>"))!,
  deepseek: deepseekCalls(false),
  fenced: deepseekCalls(true),
  granite: graniteCalls(tokenizer.pieceToId("<|tool_call|>")),
};
type Name = keyof typeof STYLES;

interface Reading {
  readonly cut?: boolean;
  readonly required?: boolean;
}

/** @param asTokens whether marks come as control tokens, which have no text */
function read(style: Name, parts: readonly string[], { cut = false, required = false }: Reading, asTokens: boolean) {
  const tools = new Set(["weather", "now"]);
  const parser = STYLES[style].parser({ tokenizer, tools, required, continued: false });
  const events: ReplyEvent[] = [];
  for (const part of parts) {
    const id = asTokens ? tokenizer.pieceToId(part) : null;
    events.push(...(id !== null && MARKS.includes(part) ? parser.push("", [id]) : parser.push(part, [300])));
  }
  events.push(...parser.end(cut));
  const calls: unknown[][] = [];
  let [text, reasoning] = ["", ""];
  for (const event of events) {
    if (event.type === "tool_call") calls.push([event.name]);
    if (event.type === "tool_arguments") calls[event.index]!.push(JSON.parse(event.text));
    if (event.type === "text") text += event.text;
    if (event.type === "reasoning") reasoning += event.text;
  }
  const others = events.filter(({ type }) => type === "malformed" || type === "cut").map(({ type }) => type);
  return { text, reasoning, calls, others };
}

const escaped = MARKS.map((mark) => mark.replaceAll("|", "\\|")).join("|");

function everyCut(style: Name, answer: string, options: Reading = {}) {
  const whole = read(style, [answer], options, false);
  expect(read(style, [...answer], options, false)).toEqual(whole);
  for (let at = 0; at <= answer.length; at++)
    expect(read(style, [answer.slice(0, at), answer.slice(at)], options, false), `cut at ${at}`).toEqual(whole);
  const pieces = answer.split(new RegExp(`(${escaped})`));
  const single = pieces.flatMap((piece) => (MARKS.includes(piece) ? [piece] : [...piece]));
  expect(read(style, single, options, true), "marks as tokens").toEqual(whole);
  return whole;
}

const PARIS = ["weather", { city: "Paris" }];
const think = "<|channel|>analysis<|message|>Let me see.<|end|>";
const args = '{"city": "Paris"}';
const CASES: readonly (readonly [Name, string, string, string, readonly unknown[]])[] = [
  [
    "harmony",
    `${think}<|start|>assistant<|channel|>final<|message|>It is 4 < 5.<|return|>`,
    "It is 4 < 5.",
    "Let me see.",
    [],
  ],
  [
    "harmony",
    `${think}<|start|>assistant<|channel|>commentary to=functions.weather <|constrain|>json<|message|>${args}<|call|>`,
    "",
    "Let me see.",
    [PARIS],
  ],
  ["harmony", `<|channel|>commentary to=functions.weather<|constrain|>json<|message|>${args}<|call|>`, "", "", [PARIS]],
  ["harmony", ` to=functions.weather<|channel|>commentary json<|message|>${args}<|call|>`, "", "", [PARIS]],
  [
    "harmony",
    `${think}<|start|>assistant to=functions.now<|channel|>commentary<|message|><|call|>`,
    "",
    "Let me see.",
    [["now", {}]],
  ],
  [
    "harmony",
    `<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>commentary to=functions.weather code<|message|>${args}`,
    "I look.",
    "",
    [PARIS],
  ],
  [
    "harmony",
    `${think}<|start|>assistant<|channel|>analysis<|message|>More.<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>{}<|return|>`,
    "{}",
    "Let me see.\n\nMore.",
    [],
  ],
  ["harmony", "Hello there", "Hello there", "", []],
  ["harmony", "<|channel|>final<|message|>One.<|end|>Two.", "One.\n\nTwo.", "", []],
  ["harmony", "<|channel|>final<|message|>One.<|end|>Two.<|end|>", "One.\n\nTwo.", "", []],
  ["harmony", "<|channel|>analysis<|message|>Hm.<|end|>Two", "Two", "Hm.", []],
  ["harmony", "<|channel|>final<|message|>One.<|channel|>analysis<|message|>Two.", "One.", "Two.", []],
  [
    "deepseek",
    `I look.${CALLS}${CALL}weather${SEP}${args}${CALL_END}${CALL}now${SEP}{}${CALL_END}${CALLS_END}`,
    "I look.",
    "",
    [PARIS, ["now", {}]],
  ],
  ["deepseek", `${CALL}weather${SEP}${args}${CALL_END}${CALLS_END}`, "", "", [PARIS]],
  ["deepseek", `${CALLS}${CALL}weather${SEP}${args}${CALL_END}`, "", "", [PARIS]],
  ["deepseek", "a <\uff5ctool b", "a <\uff5ctool b", "", []],
  [
    "fenced",
    `${CALLS}${CALL}function${SEP}weather\n\`\`\`json\n${args}\n\`\`\`${CALL_END}\n${CALL}function${SEP}now\n\`\`\`json\n{}\n\`\`\`${CALL_END}${CALLS_END}`,
    "",
    "",
    [PARIS, ["now", {}]],
  ],
  [
    "granite",
    `<|tool_call|>[{"name": "weather", "arguments": ${args}}, {"arguments": {}, "name": "now"}]<|end_of_text|>`,
    "",
    "",
    [PARIS, ["now", {}]],
  ],
  ["granite", `<|tool_call|>{"name": "weather", "arguments": ${args}}`, "", "", [PARIS]],
  ["granite", "No <|tool|> here", "No <|tool|> here", "", []],
];

describe("answers of gpt-oss, DeepSeek and Granite", () => {
  it.each(CASES)("%s: %j, cut anywhere", (style, answer, text, reasoning, calls) => {
    expect(everyCut(style, answer)).toEqual({ text, reasoning, calls, others: [] });
  });

  it.each<[Name, string]>([
    ["harmony", '<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{"city": "Pa'],
    ["harmony", "<|channel|>commentary to=functions.wea"],
    ["deepseek", `${CALLS}${CALL}weather${SEP}{"city"`],
    ["granite", '<|tool_call|>[{"name": "weather", "argum'],
  ])("%s: a call that the limit cut off is dropped: %j", (style, answer) => {
    expect(everyCut(style, answer, { cut: true })).toMatchObject({ text: "", calls: [], others: ["cut"] });
  });

  it.each<[Name, string, string]>([
    ["harmony", "<|channel|>commentary to=functions.weather<|message|>[1]<|call|>", "[1]"],
    ["harmony", "<|channel|>commentary to=functions.other<|message|>{}<|call|>", "{}"],
    ["deepseek", `${CALL}weather{}${CALL_END}`, `${CALL}weather{}${CALL_END}`],
    ["granite", "<|tool_call|>[1]<|end_of_text|>", "<|tool_call|>[1]<|end_of_text|>"],
  ])("%s: what is no call stays text: %j", (style, answer, text) => {
    expect(everyCut(style, answer)).toMatchObject({ text, calls: [], others: ["malformed"] });
  });

  it("an answer that must be calls has no text", () => {
    const answer = `<|channel|>commentary<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.now<|message|>{}<|call|>`;
    expect(everyCut("harmony", answer, { required: true })).toMatchObject({
      text: "",
      calls: [["now", {}]],
      others: [],
    });
  });

  it.each([
    ["assistant<|channel|>final", "final", null, null, ""],
    ["assistant<|channel|>commentary to=functions.f <|constrain|>json", "commentary", "functions.f", "json", ""],
    ["assistant to=functions.f<|channel|>commentary<|constrain|>json", "commentary", "functions.f", "json", ""],
    ["assistant<|channel|>commentary to=functions.f<|constrain|>json", "commentary", "functions.f", "json", ""],
    ["assistant functions.f<|channel|>commentary", "commentary", "functions.f", null, ""],
    ["assistant<|channel|>final a b to=all json", "final", "all", "json", "a b"],
    ["assistant<|channel|> commentary to=functions.f", "commentary", "functions.f", null, ""],
    ["assistant<|channel|> to=functions.f", null, "functions.f", null, ""],
    ["assistant", null, null, null, ""],
  ])("harmony's header %j", (text, channel, recipient, type, surplus) => {
    expect(harmonyHeader(text)).toEqual({ role: "assistant", channel, recipient, type, surplus });
  });

  it.each([
    ["<|start|>assistant<|channel|>final<|message|>", "harmony"],
    [`${CALLS}${CALL}`, "deepseek"],
    [`${CALLS}${CALL}\n\`\`\`json\n`, "deepseek-fenced"],
    ["<|start_of_role|>assistant <|tool_call|>", "granite"],
  ])("the template tells the style: %j", (template, name) => {
    expect(styleOf(traits(template)).name).toBe(name);
  });

  it("only <|return|> and <|call|> end an answer of harmony", () => {
    const stops = STYLES.harmony.stopIds?.map((id) => tokenizer.idToPiece(id));
    expect(stops).toEqual(["<|return|>", "<|call|>"]);
  });
});
