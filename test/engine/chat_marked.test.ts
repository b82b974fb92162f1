// Answers whose marks are control tokens, which have no text: required calls of gpt-oss, DeepSeek,
// Qwen and GLM, gpt-oss's texts in a format, and the budget of its reasoning. Grammars are
// compiled.

import { afterAll, describe, expect, it } from "vitest";
import { deepseekCalls } from "../../src/chat/styles/deepseek.ts";
import { glm, glmCompact } from "../../src/chat/styles/glm.ts";
import { harmonyStyle } from "../../src/chat/styles/harmony.ts";
import { qwenJson } from "../../src/chat/styles/qwen_json.ts";
import { qwenXml } from "../../src/chat/styles/qwen_xml.ts";
import type { CallStyle } from "../../src/chat/styles/style.ts";
import type { ReasoningOptions, ToolDefinition } from "../../src/chat/types.ts";
import { begunCalls } from "../../src/engine/begun_constraint.ts";
import { constraintOf } from "../../src/engine/chat_constraint.ts";
import { behindReasoning } from "../../src/engine/chat_reasoning.ts";
import { hasControls } from "../../src/engine/marked_constraint.ts";
import { createGrammars } from "../../src/grammar/grammars.ts";
import type { Constraint } from "../../src/grammar/types.ts";
import { allowed, tokensOf } from "../grammar/support.ts";
import { TALES_JSON, tokenizerOf } from "../tokenizer/support.ts";

const D = (words: string): string => `<\uff5c${words.replaceAll(" ", "\u2581")}\uff5c>`;
const [CALLS, CALLS_END] = [D("tool calls begin"), D("tool calls end")];
const [CALL, CALL_END, SEP] = [D("tool call begin"), D("tool call end"), D("tool sep")];
const MARKS = [
  ..."<|start|> <|end|> <|message|> <|channel|> <|constrain|> <|return|> <|call|>".split(" "),
  ..."<think> </think> <tool_call> </tool_call> <arg_key> </arg_key> <arg_value> </arg_value>".split(" "),
  ...[CALLS, CALLS_END, CALL, CALL_END, SEP],
];
const json = JSON.parse(TALES_JSON) as { added_tokens: object[] };
const tokenizer = await tokenizerOf({
  "tokenizer.json": {
    ...json,
    added_tokens: [
      ...json.added_tokens,
      ...MARKS.map((content, i) => ({ id: 4096 + i, content, special: true, normalized: false })),
    ],
  },
  "tokenizer_config.json": { bos_token: "<s>", eos_token: "</s>" },
});
const idOf = (mark: string): number => tokenizer.pieceToId(mark)!;
const [EOS] = tokenizer.eosIds as [number];
const vocab = tokenizer.vocabSize;
const ends = [EOS, idOf("<|return|>"), idOf("<|call|>")];
const grammars = createGrammars(tokenizer, vocab, ends);
afterAll(() => grammars.close());
const parts = { grammars, tokenizer, vocab };
const harmony = harmonyStyle({ tokenizer, mistral: "v1", showsTools: true, template: "<|channel|> <|message|>" })!;

const tools: readonly ToolDefinition[] = [
  {
    name: "weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer" } },
      required: ["city"],
      additionalProperties: false,
    },
  },
  { name: "now" },
];

/** A value or a bare text; all other texts are literal ones, in which marks are control tokens. */
const V = (value: string) => ({ value });
type Piece = string | { readonly value: string };
const idsOf = (pieces: readonly Piece[]): number[] =>
  pieces.flatMap((piece) =>
    typeof piece === "string"
      ? tokenizer.encode(piece, { addBos: false, specialTokens: true })
      : tokensOf(piece.value, tokenizer),
  );

/** Whether a constraint allows these pieces, and then the end. */
async function allows(constraint: Constraint | null, pieces: readonly Piece[], end: number | null = EOS) {
  try {
    for (const id of [...idsOf(pieces), ...(end === null ? [] : [end])]) {
      const mask = await constraint!.mask();
      if (mask !== null && (mask[id >> 5]! & (1 << (id & 31))) === 0) return false;
      constraint!.accept(id);
    }
    return true;
  } finally {
    constraint?.close();
  }
}

const ROME = V('{"city": "Rome", "days": 3}');
const BAD = V('{"days": 3}');
const HEAD = (name: string) => `<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>`;
const THINK: readonly Piece[] = ["<|channel|>analysis<|message|>", V("Let me see."), "<|end|>"];
const NEXT = "<|start|>assistant";

describe("optional calls beside a format", () => {
  const TEXT = V('{"t": 1}');
  const FINAL = "<|channel|>final<|message|>";
  const CALL_JSON = '<tool_call>\n{"name": "weather", "arguments": ';

  it.each<[string, CallStyle, readonly Piece[], boolean]>([
    ["qwen: a text in the format", qwenJson, [TEXT, "</s>"], true],
    ["qwen: another text", qwenJson, [V('{"t": 2}')], false],
    ["qwen: a call", qwenJson, [CALL_JSON, ROME, "}\n</tool_call>", "</s>"], true],
    ["qwen: arguments", qwenJson, [CALL_JSON, BAD], false],
    ["qwen: a text, then a call", qwenJson, [TEXT, CALL_JSON], false],
    ["deepseek: a text in the format", deepseekCalls(false), [TEXT, "</s>"], true],
    [
      "deepseek: a call",
      deepseekCalls(false),
      [CALLS, `${CALL}weather${SEP}`, ROME, CALL_END, CALLS_END, "</s>"],
      true,
    ],
    ["gpt-oss: a text in the format", harmony, [FINAL, TEXT, "<|return|>"], true],
    ["gpt-oss: another text", harmony, [FINAL, V("Well.")], false],
    ["gpt-oss: a call", harmony, [HEAD("weather"), ROME, "<|call|>"], true],
    ["gpt-oss: arguments", harmony, [HEAD("weather"), BAD], false],
  ])("%s", async (_, style, pieces, is) => {
    const schema = { type: "object", properties: { t: { const: 1 } }, required: ["t"], additionalProperties: false };
    const options = { tools, responseFormat: { type: "json_schema", schema, strict: true } } as const;
    const constraint = await constraintOf(parts, options, style.grammar(tools, "auto", true), style.textHead);
    expect(await allows(constraint, pieces, null)).toBe(is);
  });
});

describe("required calls around control tokens", () => {
  const held = async (style: CallStyle, pieces: readonly Piece[], end?: number | null, parallel = true) => {
    const calls = style.grammar(tools, "required", parallel)!;
    expect(hasControls(calls.written!, tokenizer)).toBe(true);
    return allows(await constraintOf(parts, { tools, toolChoice: "required" }, calls), pieces, end);
  };
  const [deepseek, fenced] = [deepseekCalls(false), deepseekCalls(true)];
  const F = (name: string) => `${CALL}function${SEP}${name}\n\`\`\`json\n`;

  it.each<[string, CallStyle, readonly Piece[], boolean]>([
    ["deepseek", deepseek, [CALLS, `${CALL}weather${SEP}`, ROME, CALL_END, CALLS_END], true],
    [
      "deepseek: two",
      deepseek,
      [CALLS, `${CALL}weather${SEP}`, ROME, CALL_END, `${CALL}now${SEP}`, V("{}"), CALL_END, CALLS_END],
      true,
    ],
    ["deepseek: arguments", deepseek, [CALLS, `${CALL}weather${SEP}`, BAD], false],
    ["deepseek: name", deepseek, [CALLS, `${CALL}other${SEP}`], false],
    ["deepseek: text", deepseek, [V("Well")], false],
    ["deepseek: no call", deepseek, [CALLS, CALLS_END], false],
    ["deepseek: unfinished", deepseek, [CALLS, `${CALL}weather${SEP}`, ROME, CALL_END, "</s>"], false],
    ["fenced", fenced, [CALLS, F("weather"), ROME, `\n\`\`\`${CALL_END}`, CALLS_END], true],
    ["fenced: arguments", fenced, [CALLS, F("weather"), BAD], false],
    ["json", qwenJson, ['<tool_call>\n{"name": "weather", "arguments": ', ROME, "}\n</tool_call>"], true],
    ["json: arguments", qwenJson, ['<tool_call>\n{"name": "weather", "arguments": ', BAD], false],
    [
      "xml",
      qwenXml,
      [
        "<tool_call>\n<function=weather>\n",
        "<parameter=city>\n",
        V("Rome < 2"),
        "\n</parameter>\n",
        "</function>\n</tool_call>",
      ],
      true,
    ],
    ["xml: a member is missing", qwenXml, ["<tool_call>\n<function=weather>\n", "</function>\n</tool_call>"], false],
    [
      "glm",
      glm,
      [
        "<tool_call>weather\n",
        "<arg_key>city</arg_key>\n<arg_value>",
        V("Rome"),
        "</arg_value>\n",
        "<arg_key>days</arg_key>\n<arg_value>",
        V("3"),
        "</arg_value>\n",
        "</tool_call>",
      ],
      true,
    ],
    [
      "glm: a value",
      glm,
      [
        "<tool_call>weather\n",
        "<arg_key>city</arg_key>\n<arg_value>",
        V("Rome"),
        "</arg_value>\n",
        "<arg_key>days</arg_key>\n<arg_value>",
        V("x"),
      ],
      false,
    ],
    [
      "glm 4.7",
      glmCompact,
      [
        "<tool_call>weather",
        "<arg_key>city</arg_key><arg_value>",
        V("Rome"),
        "</arg_value>",
        "</tool_call>",
        "<tool_call>now",
        "</tool_call>",
      ],
      true,
    ],
  ])("%s", async (_, style, pieces, is) => {
    expect(await held(style, pieces, is ? EOS : null)).toBe(is);
  });

  it("one only, where calls are not parallel", async () => {
    const two = [CALLS, `${CALL}now${SEP}`, V("{}"), CALL_END, `${CALL}now${SEP}`];
    expect(await held(deepseek, two, null)).toBe(true);
    expect(await held(deepseek, two, null, false)).toBe(false);
  });

  it.each<[string, readonly Piece[], boolean]>([
    ["a call", [HEAD("weather"), ROME, "<|call|>"], true],
    ["without parameters", [HEAD("now"), V('{"a": [1]}'), "<|call|>"], true],
    ["arguments", [HEAD("weather"), BAD], false],
    ["name", [HEAD("other")], false],
    ["text", ["<|channel|>final<|message|>"], false],
    ["another end", [HEAD("weather"), ROME, "<|return|>"], false],
    ["behind reasoning", [...THINK, NEXT, HEAD("weather"), ROME, "<|call|>"], true],
    ["behind reasoning: arguments", [...THINK, NEXT, HEAD("weather"), BAD], false],
  ])("gpt-oss: %s", async (_, pieces, is) => {
    const calls = harmony.grammar(tools, "required", true);
    const make = () => constraintOf(parts, { tools, toolChoice: "required" }, calls, harmony.textHead);
    const reasoning = { marks: harmony.reasons!, start: "none" } as const;
    expect(await allows(behindReasoning(parts, reasoning, {}, await make(), make), pieces, null)).toBe(is);
  });
});

describe("optional calls of a strict tool", () => {
  const strict = tools.map((tool) => ({ ...tool, strict: tool.name === "weather" }));
  const begun = async (style: CallStyle, given: readonly ToolDefinition[] = strict) =>
    constraintOf(parts, { tools: given }, style.grammar(given, "auto", true));
  const J = (args: string): Piece[] => ['<tool_call>\n{"name": "weather", "arguments": ', V(args), "}\n</tool_call>"];
  const deepseek = deepseekCalls(false);
  const D_CALL = (args: Piece): Piece[] => [CALLS, `${CALL}weather${SEP}`, args, CALL_END, CALLS_END];

  it.each<[string, CallStyle, readonly Piece[], boolean]>([
    ["json: text", qwenJson, [V("Well.")], true],
    [
      "json: a call in a text, and another",
      qwenJson,
      [V("So."), ...J('{"city": "Rome"}'), V("and"), ...J('{"city": "Oslo"}')],
      true,
    ],
    ["json: arguments", qwenJson, [V("So."), ...J('{"days": 3}')], false],
    ["json: arguments of the second", qwenJson, [...J('{"city": "Rome"}'), V("\n"), ...J('{"days": 3}')], false],
    ["deepseek", deepseek, [V("So."), ...D_CALL(ROME), V("Done")], true],
    ["deepseek: arguments", deepseek, D_CALL(BAD), false],
    ["gpt-oss", harmony, [...THINK, NEXT, HEAD("weather"), ROME, "<|call|>"], true],
    ["gpt-oss: arguments", harmony, [...THINK, NEXT, HEAD("weather"), BAD], false],
    ["gpt-oss: another header", harmony, [" to=functions.weather<|channel|>commentary json<|message|>", BAD], false],
    ["gpt-oss: another tool", harmony, [HEAD("now"), V("[1")], false],
    ["gpt-oss: a tool that is none", harmony, [HEAD("other"), BAD, "<|call|>"], true],
    ["gpt-oss: a text", harmony, [...THINK, NEXT, "<|channel|>final<|message|>", BAD, "<|return|>"], true],
  ])("are held where they begin: %s", async (_, style, pieces, is) => {
    expect(await allows(await begun(style), pieces, null)).toBe(is);
  });

  it("gpt-oss: behind reasoning within its budget", async () => {
    const make = () => begun(harmony);
    const reasoning = { marks: harmony.reasons!, start: "none" } as const;
    const held = async (pieces: readonly Piece[]): Promise<boolean> =>
      allows(behindReasoning(parts, reasoning, { budget: 100 }, await make(), make), pieces, null);
    expect(await held([...THINK, NEXT, HEAD("weather"), ROME, "<|call|>"])).toBe(true);
    expect(await held([...THINK, NEXT, HEAD("weather"), BAD])).toBe(false);
    expect(await held([HEAD("weather"), BAD])).toBe(false);
    expect(await held(["<|channel|>final<|message|>", BAD])).toBe(true);
  });

  it("one that cannot begin fails where its mask is wanted", async () => {
    const begin = () => Promise.reject(new Error("closed"));
    const constraint = begunCalls({ tokenizer, mark: idOf("<tool_call>"), stops: new Int32Array(1), begin });
    constraint.accept(idOf("<tool_call>"));
    await new Promise((resolve) => setTimeout(resolve, 5)); // a rejection without a handler ends the process
    await expect(constraint.mask()).rejects.toThrow("closed");
  });

  it("those of other tools are free, and cost nothing", async () => {
    for (const style of [qwenJson, deepseek, harmony]) expect(await begun(style, tools)).toBeNull();
  });

  it("a keyword that cannot be held is refused before anything is generated", async () => {
    const pattern = { type: "string", pattern: "^(a)\\1b" };
    const odd = [{ name: "f", strict: true, parameters: { type: "object", properties: { a: pattern } } }];
    for (const style of [qwenJson, deepseek, harmony])
      await expect(begun(style, odd)).rejects.toThrow(/tool "f".*pattern/);
  });
});

describe("reasoning whose marks are tokens", () => {
  it.each<[string, readonly Piece[], string | undefined, boolean]>([
    ["behind a line end", [V("\n"), "<think>", V("Hm."), "</think>", V("12")], "\n", true],
    ["at once", ["<think>", V("Hm."), "</think>", V("12")], "\n", true],
    ["none", [V("12")], "\n", true],
    ["behind two line ends", [V("\n"), V("\n")], "\n", false],
    ["behind a line end, where lines begin anyway", [V("\n")], undefined, false],
    ["then no number", ["<think>", V("Hm."), "</think>", V("No")], "\n", false],
  ])("%s, then a number", async (_, pieces, lead, is) => {
    const marks = { open: "<think>", close: "</think>", ...(lead !== undefined && { lead }) };
    const schema = { type: "json_schema", strict: true, schema: { type: "integer" } } as const;
    const answer = await constraintOf(parts, { responseFormat: schema }, null);
    const constraint = behindReasoning(parts, { marks, start: "none" }, {}, answer);
    expect(await allows(constraint, pieces, is ? EOS : null)).toBe(is);
  });
});

describe("gpt-oss's answers", () => {
  const reasoning = { marks: harmony.reasons!, start: "none" } as const;
  const FINAL = "<|channel|>final<|message|>";

  it.each<[string, ReasoningOptions, readonly Piece[], boolean]>([
    ["the text", {}, [FINAL, V('{"a": 1}')], true],
    ["the text, not JSON", {}, [FINAL, V("No")], false],
    ["without a header", {}, [V('{"a": 1}')], false],
    ["behind reasoning", {}, [...THINK, NEXT, FINAL, V('{"a": 1}')], true],
    ["behind reasoning, not JSON", {}, [...THINK, NEXT, FINAL, V("No")], false],
    ["reasoning that is off", { effort: "none" }, THINK.slice(0, 1), false],
    ["reasoning that is off, and the text", { enabled: false }, [FINAL, V('{"a": 1}')], true],
  ])("are held to a format behind their header: %s", async (_, options, pieces, is) => {
    const make = () => constraintOf(parts, { responseFormat: { type: "json" } }, null, harmony.textHead);
    const constraint = behindReasoning(parts, reasoning, options, await make(), make);
    expect(await allows(constraint, pieces, is ? idOf("<|return|>") : null)).toBe(is);
  });

  it("are free in a format that the prompt began", async () => {
    const constraint = await constraintOf(parts, { responseFormat: { type: "json" } }, null, []);
    expect(await allows(constraint, [V('{"a": 1}')])).toBe(true);
  });

  it("a budget ends reasoning wherever it comes", async () => {
    const constraint = behindReasoning(parts, reasoning, { budget: 3 }, null)!;
    const run = async (ids: readonly number[]): Promise<void> => {
      for (const id of ids) {
        expect(await constraint.mask()).toBeNull();
        constraint.accept(id);
      }
    };
    const [open, text] = [idsOf(["<|channel|>analysis<|message|>"]), tokensOf("abcdef", tokenizer)];
    const ended = async (): Promise<void> => {
      expect(allowed((await constraint.mask())!)).toEqual([idOf("<|end|>")]);
      constraint.accept(idOf("<|end|>"));
    };
    await run([...open, text[0]!, idOf("<|end|>")]);
    await run([...idsOf([NEXT, "<|channel|>commentary<|message|>"]), ...text, idOf("<|end|>"), ...idsOf([NEXT])]);
    await run([...open, text[0]!]); // two were used, <|end|> too
    await ended();
    await run([...idsOf([NEXT]), ...open]);
    await ended();
    await run([...idsOf([NEXT, FINAL]), ...text]);
    expect(constraint.ended).toBe(false);
  });

  it("reasoning that is off is not begun", async () => {
    const constraint = behindReasoning(parts, reasoning, { enabled: false }, null)!;
    const [channel, analysis] = idsOf(["<|channel|>analysis"]) as [number, number];
    expect(await constraint.mask()).toBeNull();
    constraint.accept(channel);
    const mask = allowed((await constraint.mask())!);
    expect([mask.length, mask.includes(analysis)]).toEqual([vocab - 1, false]);
    for (const id of idsOf(["final<|message|>"])) constraint.accept(id);
    expect(await constraint.mask()).toBeNull();
  });
});
