// Answers read while they are written: the same events however they are cut, and nothing that a
// model may write is lost or throws.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ReplyEvent } from "../../src/chat/reply.ts";
import { jsonStyle } from "../../src/chat/styles/json.ts";
import { mistralCalls } from "../../src/chat/styles/mistral.ts";
import { controls } from "./support.ts";

const CALLS = controls.pieceToId("[TOOL_CALLS]")!;
const TOOLS = new Set(["weather", "time"]);

const STYLES = {
  json: jsonStyle,
  "mistral-v2": mistralCalls("mistral-v2", CALLS),
  "mistral-v3": mistralCalls("mistral-v3", CALLS),
};
type Style = keyof typeof STYLES;

/** A piece of an answer: text, or the control token [TOOL_CALLS]. */
type Part = string | typeof CALLS;

interface Reading {
  readonly tools?: ReadonlySet<string>;
  readonly continued?: boolean;
  readonly required?: boolean;
  readonly cut?: boolean;
}

function parserOf(style: Style, { tools = TOOLS, continued = false, required = false }: Reading = {}) {
  return STYLES[style].parser({ tokenizer: controls, tools, continued, required });
}

function read(style: Style, parts: readonly Part[], options: Reading = {}): ReplyEvent[] {
  const parser = parserOf(style, options);
  const events = parts.flatMap((part) =>
    typeof part === "string" ? parser.push(part, [300]) : parser.push("", [part]),
  );
  return joined([...events, ...parser.end(options.cut)]);
}

/** Neighbouring texts as one, and ids that the parser invents by their form. */
function joined(events: readonly ReplyEvent[]): ReplyEvent[] {
  const out: ReplyEvent[] = [];
  const form = (id: string): string => (/^[a-zA-Z0-9]{9}$/.test(id) ? "ID" : id);
  for (const event of events) {
    const last = out.at(-1);
    if (event.type === "text" && last?.type === "text") out[out.length - 1] = { ...last, text: last.text + event.text };
    else if (event.type === "tool_call") out.push({ ...event, id: form(event.id) });
    else out.push(event);
  }
  return out;
}

const text = (text: string): ReplyEvent => ({ type: "text", text });
const malformed = (problem: string): ReplyEvent => ({ type: "malformed", problem });
const called = (index: number, name: string, args: string): readonly ReplyEvent[] => [
  { type: "tool_call", index, id: "ID", name },
  { type: "tool_arguments", index, text: args },
];

const CUT = "the answer ends within its list of calls";
const cases: readonly (readonly [string, Style, readonly Part[], readonly (ReplyEvent | readonly ReplyEvent[])[]])[] = [
  ["text", "mistral-v3", [" Hello", " there"], [text("Hello there")]],
  ["text of an answer that begins with two spaces", "mistral-v3", [" ", " a"], [text(" a")]],
  [
    "a call as v3 writes it",
    "mistral-v3",
    [CALLS, ' [{"name": "weather", "arguments": {"city": "Paris, \\"FR\\"  ["}, "id": "abcdef123"}]'],
    [called(0, "weather", '{"city": "Paris, \\"FR\\"  ["}')],
  ],
  [
    "parallel calls as v2 writes them, without ids",
    "mistral-v2",
    [CALLS, ' [{"name": "weather", "arguments": {"city": "A"}}, {"name": "time", "arguments": {}}]'],
    [called(0, "weather", '{"city": "A"}'), called(1, "time", "{}")],
  ],
  [
    "text before calls",
    "mistral-v3",
    [" Let me see.", CALLS, ' [{"name": "time"}]'],
    [text("Let me see."), called(0, "time", "{}")],
  ],
  [
    "a second list",
    "mistral-v3",
    [CALLS, '[{"name": "time"}]', CALLS, '[{"name": "time"}]'],
    [called(0, "time", "{}"), called(1, "time", "{}")],
  ],
  ["text behind calls", "mistral-v3", [CALLS, '[{"name": "time"}] Done.'], [called(0, "time", "{}"), text(" Done.")]],
  [
    "another order of keys, and unknown keys",
    "mistral-v3",
    [CALLS, '[{"id": 5, "x": [true, {"y": null}], "arguments": { "a" : 1e3 }, "name": "time"}]'],
    [called(0, "time", '{ "a" : 1e3 }')],
  ],
  [
    "arguments as a text",
    "mistral-v3",
    [CALLS, '[{"name": "time", "arguments": "{\\"a\\": 1}"}]'],
    [called(0, "time", '{"a": 1}')],
  ],
  [
    "arguments that no schema knows",
    "mistral-v3",
    [CALLS, '[{"name": "weather", "arguments": {"city": 5}}]'],
    [called(0, "weather", '{"city": 5}')],
  ],
  [
    "arguments as a text that is no JSON",
    "mistral-v3",
    [CALLS, '[{"name": "time", "arguments": "now"}] x'],
    [malformed("expected an object of arguments"), text('[{"name": "time", "arguments": "now"}] x')],
  ],
  [
    "an unknown tool",
    "mistral-v3",
    [CALLS, '[{"name": "rm", "arguments": {}}] x'],
    [malformed('there is no tool "rm"'), text('[{"name": "rm", "arguments": {}}] x')],
  ],
  [
    "calls that end in the arguments",
    "mistral-v3",
    [CALLS, '[{"name": "time", "arguments": {"a": "b'],
    [malformed(CUT), text('[{"name": "time", "arguments": {"a": "b')],
  ],
  [
    "a second call that ends in the arguments",
    "mistral-v3",
    [CALLS, '[{"name": "time"}, {"name": "time", "arguments": {"a": "b'],
    [called(0, "time", "{}"), malformed(CUT), text(', {"name": "time", "arguments": {"a": "b')],
  ],
  ["calls cut before the name", "mistral-v3", [CALLS, '[{"na'], [malformed(CUT), text('[{"na')]],
  ["nothing behind the control token", "mistral-v3", [CALLS], [malformed(CUT)]],
  ["text behind the control token", "mistral-v3", [CALLS, " I call you"], [text(" I call you"), malformed(CUT)]],
  [
    "what is no JSON within arguments",
    "mistral-v3",
    [CALLS, '[{"name": "time", "arguments": {a: 1}}]'],
    [malformed("not valid JSON"), text('[{"name": "time", "arguments": {a: 1}}]')],
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
    [called(0, "weather", '{"city": "A"}'), called(1, "time", "{}")],
  ],
  [
    "the same in a fence",
    "json",
    ['```json\n{ "tool_calls" :\n[{"name": "time"}] }\n```\n'],
    [called(0, "time", "{}")],
  ],
  ["the same without its end", "json", ['{"tool_calls": [{"name": "time"}]'], [called(0, "time", "{}")]],
  [
    "the same with more behind it",
    "json",
    ['{"tool_calls": [{"name": "time"}]} Now?'],
    [called(0, "time", "{}"), text("} Now?")],
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
  it.each(cases)("with %s (%s)", (_, style, parts, expected) => {
    expect(read(style, parts)).toEqual(expected.flat());
  });

  it.each(cases)("with %s (%s), cut anywhere", (_, style, parts, expected) => {
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
        expect(read(style, cut)).toEqual(expected.flat());
      }),
      { numRuns: 30 },
    );
  });

  it("is text throughout where no tool may be called", () => {
    const object = '{"tool_calls": [{"name": "time"}]}';
    expect(read("json", [object], { tools: new Set() })).toEqual([text(object)]);
    expect(read("mistral-v3", [CALLS, object], { tools: new Set() })).toEqual([text(object)]);
  });

  it("keeps its first space where it goes on from a text", () => {
    expect(read("mistral-v3", [" a"], { continued: true })).toEqual([text(" a")]);
  });

  it("finds the control token among the tokens of one push", () => {
    const parser = parserOf("mistral-v3");
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

  it("text is told as it comes, a call when it is whole", () => {
    const parser = parserOf("mistral-v3");
    expect(parser.push(" a", [300])).toEqual([text("a")]);
    expect(parser.push("", [CALLS])).toEqual([]);
    expect(parser.push(' [{"name": "time"', [300])).toEqual([]);
    expect(parser.push(', "arguments": {}', [300])).toEqual([]);
    expect(joined(parser.push("}", [300]))).toEqual(called(0, "time", "{}"));
  });

  it("keeps the model's id where it is new and in the trained form", () => {
    const parser = parserOf("mistral-v3");
    parser.push("", [CALLS]);
    const events = parser.push('[{"name": "time", "id": "abcdef123"}, {"id": "abcdef123", "name": "time"}]', [300]);
    const ids = events.flatMap((event) => (event.type === "tool_call" ? [event.id] : []));
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
      fc.property(fc.array(pieces, { maxLength: 40 }), fc.constantFrom<Style>("json", "mistral-v3"), (parts, style) => {
        const events = read(style, parts);
        const written = parts.filter((part) => typeof part === "string").join("");
        if (!parts.includes(CALLS) && !written.includes('{"tool_calls": [')) {
          expect(events).toEqual(written === "" || written === " " ? [] : [text(written.replace(/^ /, ""))]);
        }
        for (const event of events) {
          if (event.type === "tool_arguments") expect(JSON.parse(event.text)).toEqual(expect.any(Object));
        }
      }),
      { numRuns: 1000 },
    );
  });
});

const WHOLE = '{"name": "weather", "arguments": {"city": "Ä \\u00e4 [}"}, "id": "abcdef123"}';
const LISTS: readonly (readonly [string, Style, readonly Part[]])[] = [
  ["[TOOL_CALLS]", "mistral-v3", [CALLS, ` [${WHOLE}, ${WHOLE}]`]],
  ["the JSON protocol", "json", [`{"tool_calls": [${WHOLE}, ${WHOLE}]}`]],
  ["the JSON protocol in a fence", "json", [`\`\`\`json\n{"tool_calls": [${WHOLE}, ${WHOLE}]}\n\`\`\``]],
];

describe.each(LISTS)("calls in %s", (_, style, parts) => {
  const first = called(0, "weather", '{"city": "Ä \\u00e4 [}"}');
  const written = parts.at(-1) as string;
  const [one, two] = [written.indexOf("}, {"), written.lastIndexOf('"}') + 2];
  // Behind the fence any object may follow: what is cut before the name of the list is text.
  const sure = written.startsWith("`") ? written.indexOf("tool_calls") + 1 : 0;

  it.each([false, true])(
    "cut at every character: what is whole is kept, the rest left out (required: %s)",
    (required) => {
      for (let at = 0; at <= written.length; at++) {
        const events = read(style, [...parts.slice(0, -1), written.slice(0, at)], { cut: true, required });
        const calls = [first, called(1, "weather", '{"city": "Ä \\u00e4 [}"}')].slice(
          0,
          at <= one ? 0 : at < two ? 1 : 2,
        );
        const shown = at > 0 && at < sure && !required ? [text(written.slice(0, at))] : [];
        expect(
          events.filter(({ type }) => type !== "cut"),
          written.slice(0, at),
        ).toEqual([...shown, ...calls.flat()]);
      }
    },
  );

  it("that have to be, and end in another way, are no text either", () => {
    for (let at = 0; at <= written.length; at++) {
      const events = read(style, [...parts.slice(0, -1), written.slice(0, at)], { required: true });
      expect(events.filter(({ type }) => type === "text")).toEqual([]);
    }
  });
});

it.each(["{", ' {"', '\n{"tool', '{"tool_calls": ['])("%j, cut, is no text", (head) => {
  expect(read("json", [head], { cut: true })).toEqual([{ type: "cut" }]);
});

it.each(["```", "```json\n{", "So: {", '{"a": 1'])("%j, cut, is text", (head) => {
  expect(read("json", [head], { cut: true })).toEqual([text(head)]);
});
