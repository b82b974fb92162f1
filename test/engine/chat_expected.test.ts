// Tokens that a chat's constraint expects reach the grammar in it where one is at work, and change
// no mask; what must follow comes from there.

import { afterAll, describe, expect, it } from "vitest";
import { jsonStyle } from "../../src/chat/styles/json.ts";
import { mistralCalls } from "../../src/chat/styles/mistral.ts";
import { begunCalls } from "../../src/engine/begun_constraint.ts";
import { constraintOf } from "../../src/engine/chat_constraint.ts";
import { behindReasoning } from "../../src/engine/chat_reasoning.ts";
import { markedConstraint, stopsOf } from "../../src/engine/marked_constraint.ts";
import { createGrammars } from "../../src/grammar/grammars.ts";
import type { Constraint, Grammar, Grammars } from "../../src/grammar/types.ts";
import { controls } from "../chat/support.ts";
import { allowed, tokensOf } from "../grammar/support.ts";

const [EOS] = controls.eosIds as [number];
const MARK = controls.pieceToId("[TOOL_CALLS]")!;
const vocab = controls.vocabSize;
const plain = createGrammars(controls, vocab, [EOS]);
afterAll(() => plain.close());

/** What matchers were told to expect behind the tokens that they had accepted. */
let told: { readonly behind: readonly number[]; readonly ids: readonly number[] }[] = [];

function watched(grammar: Grammar): Grammar {
  return {
    ...grammar,
    async matcher() {
      const inner = await grammar.matcher();
      const behind: number[] = [];
      return {
        mask: () => inner.mask(),
        accept(id) {
          inner.accept(id);
          behind.push(id);
        },
        forced: () => "must follow",
        expect: (ids) => void told.push({ behind: [...behind], ids: [...ids] }),
        get ended() {
          return inner.ended;
        },
        close: () => inner.close(),
      };
    },
  };
}
const grammars: Grammars = {
  json: async () => watched(await plain.json()),
  jsonSchema: async (schema) => watched(await plain.jsonSchema(schema)),
  joined: async (schema) => watched(await plain.joined(schema)),
  regex: async (pattern) => watched(await plain.regex(pattern)),
  ebnf: async (text) => watched(await plain.ebnf(text)),
  structural: async (format) => watched(await plain.structural(format)),
  close() {},
};

const schema = { type: "object", properties: { city: { enum: ["Rome", "Oslo"] } }, required: ["city"] };
const tools = [{ name: "weather", parameters: { ...schema, additionalProperties: false } }];
const says = (text: string): number[] => tokensOf(text, controls);
const JSON_TEXT = says('{"city": "Rome"}');
const CALL = '{"name": "weather", "arguments": {"city": "Rome"}}';
const parts = (of: Grammars) => ({ grammars: of, tokenizer: controls, vocab });
const style = mistralCalls("mistral-v3", MARK);

const spelled = (ids: readonly number[]): string =>
  ids.map((id) => (controls.isSpecial(id) ? "" : String.fromCharCode(...controls.tokenBytes(id)))).join("");

type Made = (of: Grammars) => Promise<Constraint | null>;
/** A constraint, a text, and where in it a grammar is at work. */
const CASES: readonly (readonly [string, Made, readonly number[], number])[] = [
  ["a format", (of) => constraintOf(parts(of), { responseFormat: { type: "json" } }, null), JSON_TEXT, 0],
  [
    "calls that must come",
    (of) => {
      const options = { tools, toolChoice: "required" } as const;
      return constraintOf(parts(of), options, style.grammar(tools, "required", true));
    },
    [MARK, ...says(`[${CALL.slice(0, -1)}, "id": "abcdefghi"}]`)],
    1,
  ],
  [
    "calls that may come",
    (of) => constraintOf(parts(of), { tools }, style.grammar(tools, "auto", true)),
    [MARK, ...says(`[${CALL.slice(0, -1)}, "id": "abcdefghi"}]`)],
    1,
  ],
  [
    "calls that begin with a brace",
    (of) => constraintOf(parts(of), { tools }, jsonStyle.grammar(tools, "auto", true)),
    says(`{"tool_calls": [${CALL}]}`),
    2, // the mask behind the brace tries it as a call
  ],
  [
    "an answer behind reasoning",
    async (of) => {
      const answer = await constraintOf(parts(of), { responseFormat: { type: "json" } }, null);
      return behindReasoning(
        parts(of),
        { marks: { open: "<think>", close: "</think>" }, start: "open" },
        { budget: 4 },
        answer,
      );
    },
    [...says("Well."), ...says("</think>"), ...JSON_TEXT],
    says("Well.</think>").length,
  ],
  [
    "a text between control tokens",
    async (of) => {
      const { tokenizer } = parts(of);
      const value = { grammar: await of.jsonSchema(schema) };
      const compile = () => of.jsonSchema(schema);
      const more = { tokenizer, vocab, empty: await of.regex(""), compile };
      return markedConstraint(more, [{ text: "[TOOL_CALLS]" }, value]);
    },
    [MARK, ...JSON_TEXT],
    2, // the matcher is made for the mask behind the mark
  ],
  [
    "a call that was begun",
    async (of) => {
      const begin = async () => (await of.jsonSchema(schema)).matcher();
      return begunCalls({ tokenizer: controls, mark: MARK, stops: await stopsOf(await of.regex("")), begin });
    },
    [...says("Well."), MARK, ...JSON_TEXT],
    says("Well.").length + 2,
  ],
];

describe("tokens that a chat's constraint expects", () => {
  it.each(CASES)("change no mask, and reach its grammar: %s", async (_, make, text, from) => {
    const [expecting, other] = [(await make(grammars))!, (await make(plain))!];
    const all = Array.from({ length: vocab }, (_, id) => id);
    told = [];
    for (const [i, id] of text.entries()) {
      const before = told.length;
      expecting.expect!(text.slice(i, i + 5));
      expect(expecting.forced!(), `at ${i}`).toBe(i >= from ? "must follow" : "");
      if (i >= from) {
        expect(told.length, `at ${i}`).toBe(before + 1);
        const { behind, ids } = told.at(-1)!;
        expect(ids).toEqual(text.slice(i, i + 5));
        // The grammar has all of the text that is its own.
        expect(spelled(text.slice(0, i)).endsWith(spelled(behind))).toBe(true);
        if (i > from) expect(behind.length).toBeGreaterThan(0);
      }
      const [one, two] = [await expecting.mask(), await other.mask()];
      expect(one === null ? all : allowed(one)).toEqual(two === null ? all : allowed(two));
      expecting.accept(id);
      other.accept(id);
    }
    expect(told.length).toBeGreaterThanOrEqual(text.length - from);
    expecting.close();
    other.close();
  });
});
