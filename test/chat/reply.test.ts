// Answers read while they are written: the same events however they are cut, and nothing that a model may write is lost or throws.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ToolFormat } from "../../src/chat/chat.ts";
import { createReplyParser, type ReplyEvent } from "../../src/chat/reply.ts";
import { compileTools } from "../../src/chat/tool_schema.ts";
import { controls } from "./support.ts";

const CALLS = controls.pieceToId("[TOOL_CALLS]")!;
const TOOLS = compileTools([
  { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } },
  { name: "time" },
]);

/** A piece of an answer: text, or the control token [TOOL_CALLS]. */
type Part = string | typeof CALLS;

function read(format: ToolFormat, parts: readonly Part[], tools = TOOLS, continued = false): ReplyEvent[] {
  const callsId = format === "json" ? null : CALLS;
  const parser = createReplyParser({ format, callsId, tokenizer: controls, tools, continued });
  const events = parts.flatMap((part) =>
    typeof part === "string" ? parser.push(part, [300]) : parser.push("", [part]),
  );
  return joined([...events, ...parser.end()]);
}

/** Neighbouring deltas as one, and ids that the parser invents by their form. */
function joined(events: readonly ReplyEvent[]): ReplyEvent[] {
  const out: ReplyEvent[] = [];
  const form = (id: string): string => (/^[a-zA-Z0-9]{9}$/.test(id) ? "ID" : id);
  for (const event of events) {
    const last = out.at(-1);
    if (event.type === "text" && last?.type === "text") out[out.length - 1] = { ...last, text: last.text + event.text };
    else if (event.type === "arguments" && last?.type === "arguments" && last.index === event.index)
      out[out.length - 1] = { ...last, text: last.text + event.text };
    else if (event.type === "call") out.push({ ...event, id: form(event.id) });
    else if (event.type === "call end") out.push({ ...event, call: { ...event.call, id: form(event.call.id) } });
    else out.push(event);
  }
  return out;
}

const text = (text: string): ReplyEvent => ({ type: "text", text });
const malformed = (problem: string): ReplyEvent => ({ type: "malformed", problem });
function called(index: number, name: string, args: string, problems: readonly string[] = []): ReplyEvent[] {
  const begin: ReplyEvent = { type: "call", index, id: "ID", name };
  const delta: ReplyEvent[] = args === "" ? [] : [{ type: "arguments", index, text: args }];
  return [begin, ...delta, { type: "call end", index, call: { id: "ID", name, arguments: args }, problems }];
}

const CUT = "the answer ends within its list of calls";
const cases: readonly (readonly [string, ToolFormat, readonly Part[], readonly ReplyEvent[]])[] = [
  ["text", "mistral-v3", [" Hello", " there"], [text("Hello there")]],
  ["text of an answer that begins with two spaces", "mistral-v3", [" ", " a"], [text(" a")]],
  [
    "a call as v3 writes it",
    "mistral-v3",
    [CALLS, ' [{"name": "weather", "arguments": {"city": "Paris, \\"FR\\"  ["}, "id": "abcdef123"}]'],
    called(0, "weather", '{"city": "Paris, \\"FR\\"  ["}'),
  ],
  [
    "parallel calls as v2 writes them, without ids",
    "mistral-v2",
    [CALLS, ' [{"name": "weather", "arguments": {"city": "A"}}, {"name": "time", "arguments": {}}]'],
    [...called(0, "weather", '{"city": "A"}'), ...called(1, "time", "{}")],
  ],
  [
    "text before calls",
    "mistral-v3",
    [" Let me see.", CALLS, ' [{"name": "time"}]'],
    [text("Let me see."), ...called(0, "time", "{}")],
  ],
  [
    "a second list",
    "mistral-v3",
    [CALLS, '[{"name": "time"}]', CALLS, '[{"name": "time"}]'],
    [...called(0, "time", "{}"), ...called(1, "time", "{}")],
  ],
  [
    "text behind calls",
    "mistral-v3",
    [CALLS, '[{"name": "time"}] Done.'],
    [...called(0, "time", "{}"), text(" Done.")],
  ],
  [
    "another order of keys, and keys that nobody asked for",
    "mistral-v3",
    [CALLS, '[{"id": 5, "x": [true, {"y": null}], "arguments": { "a" : 1e3 }, "name": "time"}]'],
    called(0, "time", '{ "a" : 1e3 }'),
  ],
  [
    "arguments as a text",
    "mistral-v3",
    [CALLS, '[{"name": "time", "arguments": "{\\"a\\": 1}"}]'],
    called(0, "time", '{"a": 1}'),
  ],
  [
    "arguments against their schema",
    "mistral-v3",
    [CALLS, '[{"name": "weather", "arguments": {"city": 5}}]'],
    called(0, "weather", '{"city": 5}', ["arguments/city: must be string"]),
  ],
  [
    "arguments as a text that is no JSON",
    "mistral-v3",
    [CALLS, '[{"name": "time", "arguments": "now"}]'],
    called(0, "time", "now", [expect.stringContaining("not JSON") as unknown as string]),
  ],
  [
    "an unknown tool",
    "mistral-v3",
    [CALLS, '[{"name": "rm", "arguments": {}}] x'],
    [malformed('there is no tool "rm"'), text('[{"name": "rm", "arguments": {}}] x')],
  ],
  [
    "calls cut in the arguments",
    "mistral-v3",
    [CALLS, '[{"name": "time", "arguments": {"a": "b'],
    called(0, "time", '{"a": "b', [CUT]),
  ],
  ["calls cut before the name", "mistral-v3", [CALLS, '[{"na'], [malformed(CUT), text('[{"na')]],
  ["nothing behind the control token", "mistral-v3", [CALLS], [malformed(CUT)]],
  ["text behind the control token", "mistral-v3", [CALLS, " I call you"], [text(" I call you"), malformed(CUT)]],
  [
    "what is no JSON within arguments",
    "mistral-v3",
    [CALLS, '[{"name": "time", "arguments": {a: 1}}]'],
    [
      { type: "call", index: 0, id: "ID", name: "time" },
      { type: "arguments", index: 0, text: "{" },
      { type: "call end", index: 0, call: { id: "ID", name: "time", arguments: "{" }, problems: ["it is not JSON"] },
      text("a: 1}}]"),
    ],
  ],
  ["an object that is no list", "mistral-v3", [CALLS, '{"name": "time"}'], [text('{"name": "time"}'), malformed(CUT)]],
  [
    "a key twice",
    "mistral-v3",
    [CALLS, '[{"x": 1, "x": 2, "name": "time"}]'],
    [malformed('"x" is given twice'), text('[{"x": 1, "x": 2, "name": "time"}]')],
  ],
  [
    "the protocol's object",
    "json",
    [' {"tool_calls": [{"name": "weather", "arguments": {"city": "A"}}, {"name": "time"}]}'],
    [...called(0, "weather", '{"city": "A"}'), ...called(1, "time", "{}")],
  ],
  ["the same in a fence", "json", ['```json\n{ "tool_calls" :\n[{"name": "time"}] }\n```\n'], called(0, "time", "{}")],
  ["the same without its end", "json", ['{"tool_calls": [{"name": "time"}]'], called(0, "time", "{}")],
  [
    "the same with more behind it",
    "json",
    ['{"tool_calls": [{"name": "time"}]} Now?'],
    [...called(0, "time", "{}"), text("} Now?")],
  ],
  ["another object", "json", [' {"tool_call": 1}'], [text('{"tool_call": 1}')]],
  ["the protocol's object cut early", "json", ['{"tool_ca'], [text('{"tool_ca')]],
  ["the protocol's object behind text", "json", ['So: {"tool_calls": []}'], [text('So: {"tool_calls": []}')]],
  ["a fence with something else", "json", ["```js\nlet a;```"], [text("```js\nlet a;```")]],
  [
    "an unknown tool in the protocol's object",
    "json",
    [' {"tool_calls": [{"name": "rm"}]}'],
    [malformed('there is no tool "rm"'), text('{"tool_calls": [{"name": "rm"}]}')],
  ],
  ["an empty list", "json", ['{"tool_calls": []}'], []],
];

describe("an answer", () => {
  it.each(cases)("with %s (%s)", (_, format, parts, expected) => {
    expect(read(format, parts)).toEqual(expected);
  });

  it.each(cases)("with %s (%s), cut anywhere", (_, format, parts, expected) => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 12 }), (lengths) => {
        let turn = 0;
        const cut = parts.flatMap((part): Part[] => {
          if (typeof part !== "string") return [part];
          const pieces: string[] = [];
          for (let at = 0; at < part.length; ) {
            const length = lengths[turn++ % lengths.length]! + (turn % 50 === 0 ? 1 : 0);
            pieces.push(part.slice(at, at + length));
            at += length;
          }
          return pieces;
        });
        expect(read(format, cut)).toEqual(expected);
      }),
      { numRuns: 30 },
    );
  });

  it("is text throughout where no tool may be called", () => {
    const object = '{"tool_calls": [{"name": "time"}]}';
    expect(read("json", [object], new Map())).toEqual([text(object)]);
    expect(read("mistral-v3", [CALLS, object], new Map())).toEqual([text(object)]);
  });

  it("keeps its first space where it goes on from a text", () => {
    expect(read("mistral-v3", [" a"], TOOLS, true)).toEqual([text(" a")]);
  });

  it("finds the control token among the tokens of one push", () => {
    const parser = createReplyParser({
      format: "mistral-v3",
      callsId: CALLS,
      tokenizer: controls,
      tools: TOOLS,
      continued: false,
    });
    const ids = [
      ...controls.encode("Hm", { addBos: false }),
      CALLS,
      ...controls.encode('[{"name": "time"}]', { addBos: false }),
    ];
    expect(joined([...parser.push(controls.decode(ids), ids), ...parser.end()])).toEqual([
      text("Hm"),
      ...called(0, "time", "{}"),
    ]);
  });

  it("reads a megabyte of arguments", () => {
    const args = JSON.stringify({ a: "x".repeat(2 ** 20) });
    expect(read("mistral-v3", [CALLS, `[{"name": "time", "arguments": ${args}}]`])).toEqual(called(0, "time", args));
  });

  it("streams: text and arguments are told as they come", () => {
    const parser = createReplyParser({
      format: "mistral-v3",
      callsId: CALLS,
      tokenizer: controls,
      tools: TOOLS,
      continued: false,
    });
    expect(parser.push(" a", [300])).toEqual([text("a")]);
    expect(parser.push("", [CALLS])).toEqual([]);
    expect(parser.push(' [{"name": "time"', [300])).toEqual([expect.objectContaining({ type: "call", name: "time" })]);
    expect(parser.push(', "arguments": {"a', [300])).toEqual([{ type: "arguments", index: 0, text: '{"a' }]);
  });

  it("keeps the model's id where it comes before the arguments and is in the trained form", () => {
    const parser = createReplyParser({
      format: "mistral-v3",
      callsId: CALLS,
      tokenizer: controls,
      tools: TOOLS,
      continued: false,
    });
    parser.push("", [CALLS]);
    const events = parser.push('[{"id": "abcdef123", "name": "time"}, {"id": "abcdef123", "name": "time"}]', [300]);
    const ids = events.flatMap((event) => (event.type === "call" ? [event.id] : []));
    expect(ids[0]).toBe("abcdef123");
    expect(ids[1]).toMatch(/^(?!abcdef123)[a-zA-Z0-9]{9}$/);
  });

  it("never throws, and loses no text, whatever a model writes", () => {
    const pieces = fc.constantFrom<Part>(
      CALLS,
      "[",
      "]",
      "{",
      "}",
      '"name"',
      '"arguments"',
      ":",
      ",",
      '"time"',
      '"weather"',
      '"',
      "\\",
      "1",
      "-",
      "tru",
      "null",
      "a",
      " ",
      "\n",
      '{"tool_calls": [',
      "```",
      "é\u{1F600}",
      "\u0000",
    );
    fc.assert(
      fc.property(
        fc.array(pieces, { maxLength: 40 }),
        fc.constantFrom<ToolFormat>("json", "mistral-v3"),
        (parts, format) => {
          const events = read(format, parts);
          const written = parts.filter((part) => typeof part === "string").join("");
          if (!parts.includes(CALLS) && !written.includes('{"tool_calls": [')) {
            expect(events).toEqual(written === "" || written === " " ? [] : [text(written.replace(/^ /, ""))]);
          }
          const begun = events.filter((event) => event.type === "call").length;
          expect(events.filter((event) => event.type === "call end").length).toBe(begun);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
