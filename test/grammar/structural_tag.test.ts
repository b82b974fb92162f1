// Structural tags: which texts they take, as xgrammar's tutorial describes its formats, and what
// is refused where.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createGrammars } from "../../src/grammar/grammars.ts";
import { startNodeGrammarWorker } from "../../src/grammar/node_grammar_threads.ts";
import { createThreadedGrammars } from "../../src/grammar/threaded.ts";
import type { Grammars } from "../../src/grammar/types.ts";
import { loadTokenizer } from "../../src/index.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { inRepo } from "../support/fixtures.ts";
import { accepts } from "./support.ts";

let tokenizer: Tokenizer;
let grammars: Grammars;
beforeAll(async () => {
  tokenizer = await loadTokenizer(inRepo("models/tales"));
  grammars = createGrammars(tokenizer, tokenizer.vocabSize, tokenizer.eosIds);
});
afterAll(() => grammars?.close());

const schema = (json_schema: unknown) => ({ type: "json_schema", json_schema });
const person = schema({
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
});
const JOHN = '{"name": "John", "age": 30}';
const tag = (begin: string, content: object, end: string) => ({ type: "tag", begin, content, end });
const call = (name: string, content: object) => ({ begin: `<function=${name}>`, content, end: "</function>" });
const calls = {
  type: "triggered_tags",
  triggers: ["<function="],
  tags: [call("func1", person), call("func2", schema({ const: 2 }))],
};
const think = tag("<think>", { type: "any_text" }, "</think>");
const list = { type: "tags_with_separator", separator: ",", tags: [call("a", schema(true)), call("b", schema(true))] };

describe("what a structural tag takes", () => {
  it.each<[string, object, readonly string[], readonly string[]]>([
    ["a text", { type: "const_string", value: "step by step" }, ["step by step"], ["step", ""]],
    ["a schema", person, [JOHN], ['{"name": 1}', "x"]],
    ["a pattern", { type: "regex", pattern: "[ab]+c?" }, ["abc", "b"], ["c", "abd"]],
    ["a grammar", { type: "grammar", grammar: 'root ::= "x" y\ny ::= [0-9]+' }, ["x12"], ["x", "12"]],
    ["any text", { type: "any_text" }, ["anything <function=", ""], []],
    ["a sequence", { type: "sequence", elements: [think, person] }, [`<think>so</think>${JOHN}`], [JOHN]],
    ["one of several", { type: "or", elements: [person, think] }, [JOHN, "<think></think>"], ["x"]],
    ["any text up to the end of a tag", think, ["<think>a < b</think>"], ["<think>a", "<think></think>x"]],
    [
      "free text and tags, as triggers say",
      calls,
      ["", "free", `so: <function=func1>${JOHN}</function> and <function=func2>2</function>.`],
      ["<function=func3>", "<function=func2>3</function>", `<function=func1>${JOHN}`],
    ],
    [
      "at least one tag, which comes first",
      { ...calls, at_least_one: true },
      ["<function=func2>2</function> more"],
      ["", "more"],
    ],
    [
      "no more than one",
      { ...calls, stop_after_first: true },
      ["so <function=func2>2</function>"],
      ["<function=func2>2</function> more"],
    ],
    [
      "tags between separators",
      list,
      ["", "<function=a>1</function>,<function=b>[]</function>"],
      ["<function=a>1</function><function=b>2</function>", "x"],
    ],
    ["at least one of these", { ...list, at_least_one: true }, ["<function=b>2</function>"], [""]],
    [
      "reasoning, then calls in a tag",
      {
        type: "sequence",
        elements: [think, { ...calls, tags: [{ ...call("x>", list), end: "</calls>" }], stop_after_first: true }],
      },
      ["<think>1</think>now <function=x>><function=a>1</function></calls>"],
      ["<think>1</think><function=x>>1</calls>"],
    ],
  ])("%s", async (_, format, inside, outside) => {
    const grammar = await grammars.structural(format);
    for (const text of inside) expect([text, await accepts(grammar, text, tokenizer)]).toEqual([text, true]);
    for (const text of outside) expect([text, await accepts(grammar, text, tokenizer)]).toEqual([text, false]);
  });

  it("the same in a thread", async () => {
    const start = startNodeGrammarWorker;
    const threaded = createThreadedGrammars(tokenizer, tokenizer.vocabSize, tokenizer.eosIds, { start });
    try {
      const grammar = await threaded.structural(calls);
      expect(await accepts(grammar, "so <function=func2>2</function>", tokenizer)).toBe(true);
      expect(await accepts(grammar, "<function=func2>3</function>", tokenizer)).toBe(false);
      await expect(threaded.structural({ type: "maybe" })).rejects.toThrow("structural_tag: format.type: ");
    } finally {
      threaded.close();
    }
  });
});

describe("what is wrong, or not supported, is named", () => {
  it.each<[unknown, string]>([
    [undefined, "structural_tag: format: expected an object, found nothing"],
    [[], "structural_tag: format: expected an object, found []"],
    [{}, "structural_tag: format.type: expected one of const_string, json_schema, "],
    [{ type: "qwen_xml_parameter", json_schema: {} }, 'found "qwen_xml_parameter"'],
    [{ type: "any_text", excludes: ["x"] }, "structural_tag: format.excludes: is not supported"],
    [{ type: "const_string", value: "" }, 'format.value: expected a text, found ""'],
    [tag("<a>", { type: "regex", pattern: "(" }, "</a>"), "structural_tag: format.content.pattern: the pattern "],
    [{ type: "grammar", grammar: "root ::= x" }, "structural_tag: format.grammar: "],
    [schema({ type: "nonsense" }), "structural_tag: format.json_schema: "],
    [tag("<a>", { type: "any_text" }, ""), 'structural_tag: format.end: expected a text, found ""'],
    [{ ...calls, tags: [] }, "structural_tag: format.tags: expected a list that is not empty, found []"],
    [
      { ...calls, triggers: ["<x"] },
      "format.tags[0].begin: expected to begin with exactly one of the triggers, found 0",
    ],
    [{ ...calls, triggers: ["<", "<f"] }, "found 2 of them"],
    [{ ...calls, at_least_one: "yes" }, 'format.at_least_one: expected true or false, found "yes"'],
    [{ ...list, tags: [{ ...list.tags[0]!, type: "or" }] }, "format.tags[0].type: expected tag, found or"],
    [{ type: "sequence", elements: [{ type: "any_text" }, person] }, "Free text (any_text, and triggered_tags"],
  ])("%j", async (format, message) => {
    await expect(grammars.structural(format)).rejects.toThrow(message);
  });

  it("a nesting that is too deep", async () => {
    let format: object = { type: "any_text" };
    for (let i = 0; i < 70; i++) format = tag("<", format, ">");
    await expect(grammars.structural(format)).rejects.toThrow("is nested more than 64 deep");
  });
});
