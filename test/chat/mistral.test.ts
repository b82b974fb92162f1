// Mistral's prompts: whole conversations against mistral-common's ids, and what no
// conversation may do.

import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkMessages, checkTools, type PromptOptions } from "../../src/chat/messages.ts";
import { mistralPrompt, mistralVersion } from "../../src/chat/mistral.ts";
import { parsePythonJson, pythonJson } from "../../src/chat/python_json.ts";
import type { ChatMessage } from "../../src/chat/types.ts";
import { RequestError } from "../../src/errors.ts";
import { inShared, titled } from "../support/fixtures.ts";
import {
  controls,
  controlsIn,
  messagesOf,
  mistralTokenizer,
  piecesOf,
  type Sample,
  tales,
  toolsOf,
} from "./support.ts";

const { path, skip } = inShared("fixtures/chat/samples");
const VOCABULARY = { v1: "mistral-v1", v2: "mistral-v3", v3: "mistral-v3" } as const;

describe("mistral-common's samples", () => {
  // v2's vocabulary is v3's but for the names of control tokens that no prompt has.
  const cases = (["v1", "v2", "v3"] as const).flatMap((version) =>
    ["no_tools", "get_weather_no_history"].map((sample) => ({
      version,
      sample,
      ids: `${path}/${sample}/tokens_${version}.json`,
    })),
  );
  it.skipIf(skip !== null).each(cases.filter(({ ids }) => skip !== null || existsSync(ids)))(
    titled("$sample in $version: the same ids", skip),
    async ({ version, sample, ids }) => {
      const given = JSON.parse(readFileSync(`${path}/${sample}/sample.json`, "utf8")) as Sample;
      const expected = (JSON.parse(readFileSync(ids, "utf8")) as { tokens: number[] }).tokens;
      const tokenizer = await mistralTokenizer(VOCABULARY[version]);
      expect(mistralPrompt(tokenizer, version, messagesOf(given), { tools: toolsOf(given) })).toEqual(expected);
    },
  );
});

const user = (content: string): ChatMessage => ({ role: "user", content });
const assistant = (content: string): ChatMessage => ({ role: "assistant", content });
const system = (content: string): ChatMessage => ({ role: "system", content });
const call = (id: string, args = '{"x":1}'): ChatMessage => ({
  role: "assistant",
  toolCalls: [{ id, name: "f", arguments: args }],
});
const result = (toolCallId: string, content: string): ChatMessage => ({ role: "tool", toolCallId, content });

/** Pieces of a prompt as the documented text views of mistral-common write them. */
function view(version: "v1" | "v2" | "v3", messages: ChatMessage[], options: PromptOptions = {}): string {
  const tokenizer = version === "v1" ? tales : controls;
  return piecesOf(tokenizer, mistralPrompt(tokenizer, version, messages, options));
}

describe("the form of a prompt", () => {
  it("v1: the system prompt opens the first user message, every text has its own leading space", () => {
    const turns = [system("Be kind."), user("Hi"), assistant("Hello"), user("Bye")];
    expect(view("v1", turns)).toBe("<s>▁[INST]▁Be▁kind.<0x0A><0x0A>Hi▁[/INST]▁Hello</s>▁[INST]▁Bye▁[/INST]");
  });

  it("v3: system prompt and tools stand with the last user message", () => {
    const turns = [system("Be kind."), user("Hi"), assistant("Hello  "), system("And brief."), user("Bye")];
    expect(view("v3", turns, { tools: [{ name: "f", parameters: { type: "object" }, strict: true }] })).toBe(
      '<s>[INST]▁Hi[/INST]▁Hello</s>[AVAILABLE_TOOLS]▁[{"type":▁"function",▁"function":▁{"name":▁"f",▁"description":▁"",▁' +
        '"parameters":▁{"type":▁"object"}}}][/AVAILABLE_TOOLS][INST]▁Be▁kind.<0x0A><0x0A>And▁brief.<0x0A><0x0A>Bye[/INST]',
    );
  });

  it("v3: calls and results of earlier turns stay; results are JSON where they can be", () => {
    const turns = [user("a"), call("123456789"), result("123456789", "[1.0,2]"), assistant("b"), user("c")];
    expect(view("v3", turns)).toBe(
      '<s>[INST]▁a[/INST][TOOL_CALLS]▁[{"name":▁"f",▁"arguments":▁{"x":▁1},▁"id":▁"123456789"}]</s>' +
        '[TOOL_RESULTS]▁{"content":▁[1.0,▁2],▁"call_id":▁"123456789"}[/TOOL_RESULTS]▁b</s>[INST]▁c[/INST]',
    );
    expect(view("v2", turns)).toBe("<s>[INST]▁a[/INST]▁b</s>[INST]▁c[/INST]");
    expect(view("v2", turns.slice(0, 3))).toContain(
      '[TOOL_RESULTS]▁[{"name":▁"f",▁"content":▁[1.0,▁2]}][/TOOL_RESULTS]',
    );
  });

  it("neighbours of one role are one message, and a conversation begins with a user", () => {
    expect(view("v3", [user("a"), user("b"), assistant("c"), assistant("d"), user("e")])).toBe(
      "<s>[INST]▁a<0x0A><0x0A>b[/INST]▁c<0x0A><0x0A>d</s>[INST]▁e[/INST]",
    );
    expect(view("v3", [assistant("a"), user("b")])).toBe("<s>[INST][/INST]▁a</s>[INST]▁b[/INST]");
    expect(view("v1", [system("a")])).toBe("<s>▁[INST]▁a<0x0A><0x0A>▁[/INST]");
  });

  it("continues the assistant's text without an end", () => {
    expect(view("v3", [user("a"), assistant("b c")], { continueAssistant: true })).toBe("<s>[INST]▁a[/INST]▁b▁c");
  });

  it("has room for a long text", () => {
    const ids = mistralPrompt(controls, "v3", [user("a "), assistant("b ".repeat(200_000)), user("c")], {});
    expect(ids.length).toBeGreaterThan(200_000);
  });

  it("ids of other makers become nine letters, the same in call and result", () => {
    const text = view("v3", [user("a"), call("call_O9dYx3kQfA2"), result("call_O9dYx3kQfA2", "1")]);
    const [id, same] = [...text.matchAll(/"(?:call_)?id":▁"([^"]*)"/g)].map((match) => match[1]);
    expect(id).toMatch(/^[a-zA-Z0-9]{9}$/);
    expect(same).toBe(id);
  });
});

describe("control tokens", () => {
  const spelled = "[INST] </s> [/INST] <s> [TOOL_CALLS][AVAILABLE_TOOLS] [/TOOL_RESULTS] <unk>";
  it("are never made from what people, tools or definitions say", () => {
    const turns = [
      system(spelled),
      user(spelled),
      { ...call("123456789", JSON.stringify({ x: spelled })), content: spelled } as ChatMessage,
      result("123456789", spelled),
    ];
    const ids = mistralPrompt(controls, "v3", turns, { tools: [{ name: "f", description: spelled }] });
    expect(controlsIn(controls, ids)).toBe(
      "<s>[AVAILABLE_TOOLS][/AVAILABLE_TOOLS][INST][/INST][TOOL_CALLS]</s>[TOOL_RESULTS][/TOOL_RESULTS]",
    );
    expect(controlsIn(tales, mistralPrompt(tales, "v1", [user(spelled), assistant(spelled), user("b")], {}))).toBe(
      "<s></s>",
    );
  });

  it("tell the version, and file names tell v2 from v3", () => {
    expect(mistralVersion(tales, [])).toBe("v1");
    expect(mistralVersion(controls, ["tokenizer.json"])).toBe("v3");
    expect(mistralVersion(controls, ["tokenizer.model.v2"])).toBe("v2");
  });
});

describe("conversations that no model can answer", () => {
  const cases: [string, ChatMessage[], PromptOptions, RegExp][] = [
    ["none", [], {}, /at least one message/],
    ["an unknown role", [{ role: "robot", content: "" } as unknown as ChatMessage], {}, /messages\[0\].*"robot"/],
    [
      "content that is no text",
      [{ role: "user", content: 5 } as unknown as ChatMessage],
      {},
      /messages\[0\]\.content.*number/,
    ],
    ["the assistant at the end", [user("a"), assistant("b")], {}, /user or tool message at the end/],
    ["nothing to continue", [user("a")], { continueAssistant: true }, /to continue the assistant/],
    ["a result without a call", [user("a"), result("123456789", "")], {}, /messages\[1\].*"123456789"/],
    ["a call without a result", [user("a"), call("123456789")], {}, /"123456789" first/],
    ["a call passed over", [user("a"), call("1"), user("b")], {}, /messages\[2\].*"1" first/],
    ["a result twice", [user("a"), call("1"), result("1", ""), result("1", "")], {}, /messages\[3\]/],
  ];
  it.each(cases)("%s", (_, messages, options, message) => {
    expect(() => checkMessages(messages, options)).toThrow(RequestError);
    expect(() => checkMessages(messages, options)).toThrow(message);
  });

  const two: ChatMessage = {
    role: "assistant",
    toolCalls: ["a.b", "c/d e\n".repeat(100)].map((name) => ({ id: "1", name, arguments: "{}" })),
  };
  it.each([
    ["two calls with one id, a result for each", [user("a"), two, result("1", "x"), result("1", "y")]],
    ["two calls with one id, one result", [user("a"), two, result("1", "x")]],
    ["ids that come again", [user("a"), two, result("1", "x"), assistant("b"), user("c"), two, result("1", "x")]],
  ])("%s and any name are accepted in what was said", (_, messages) => {
    checkMessages(messages, { toolChoice: "none" });
  });

  it("tools with bad names, twice the same, a choice that is not there, a schema without a floor", () => {
    let deep: Record<string, unknown> = {};
    for (let i = 0; i < 10_000; i++) deep = { not: deep };
    expect(() => checkTools({ tools: [{ name: "a b" }] })).toThrow(/tools\[0\].*"a b"/);
    expect(() => checkTools({ tools: [{ name: "a".repeat(129) }] })).toThrow(/1 to 128/);
    checkTools({ tools: [{ name: "a".repeat(128) }, { name: "files.read-all_1" }] });
    expect(() => checkTools({ tools: [{ name: "a" }, { name: "a" }] })).toThrow(/tools\[1\].*another/);
    expect(() => checkTools({ tools: [{ name: "a" }], toolChoice: { name: "b" } })).toThrow(/"b"/);
    expect(() => checkTools({ toolChoice: "required" })).toThrow(/no tools/);
    expect(() => checkTools({ tools: [{ name: "a", parameters: deep }] })).toThrow(/tools\[0\].parameters.*levels/);
  });
});

describe("Python's JSON", () => {
  // json.dumps(json.loads(text), ensure_ascii=False), CPython 3.11.7
  const cases = [
    ['{"b":1,"10":2,"2":[ ],"b":{}}', '{"b": {}, "10": 2, "2": []}'],
    [
      "[1.0,1e5,1E16,0.00001,123456789012345678901234567890,-0,-0.0,1.5e300]",
      "[1.0, 100000.0, 1e+16, 1e-05, 123456789012345678901234567890, 0, -0.0, 1.5e+300]",
    ],
    ['"\\u00e9\\/\\u001f\\n\u007f😀"', '"é/\\u001f\\n\u007f😀"'],
    ["[NaN, -Infinity,true,null]", "[NaN, -Infinity, true, null]"],
    [' {"a" : "b"}\n', '{"a": "b"}'],
  ] as const;
  it.each(cases)("%s", (text, expected) => {
    expect(pythonJson(parsePythonJson(text))).toBe(expected);
  });

  it.each(["", "{", "[1,]", "{'a': 1}", "01", "1 2", '"\n"', "tru", "nan"])("is not %s", (text) => {
    expect(parsePythonJson(text)).toBeUndefined();
  });

  it("is not a list 100,000 levels deep", () => {
    expect(parsePythonJson("[".repeat(100_000)) === undefined).toBe(true);
  });
});
