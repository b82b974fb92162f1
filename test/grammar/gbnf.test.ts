// GBNF means what llama.cpp's parser makes of it: texts in and out of a grammar, and what is
// refused where.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { choicesToEbnf, gbnfToEbnf } from "../../src/grammar/gbnf.ts";
import { createGrammars } from "../../src/grammar/grammars.ts";
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

/** A JSON object with the white space that grammars of llama.cpp's users allow. */
const JSON_OBJECT = String.raw`
root   ::= object   # the whole text
value  ::= object | array | string | number |
           ("true" | "false" | "null") ws
object ::=
  "{" ws (
    string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] {1,3})? ws
ws     ::= | " " | "\n" [ \t]{0,20}
`;

describe("what a grammar takes", () => {
  it.each<[string, string, readonly string[], readonly string[]]>([
    ["a text", 'root ::= "yes"', ["yes"], ["no", "yesyes", ""]],
    [". is any character, line breaks too", "root ::= .", ["a", ".", "\n", "é", "🦊"], ["", "ab"]],
    [". behind a name is no part of it", 'root ::= a.\na ::= "x"', ["xy", "x\n"], ["x", "a."]],
    [".* and .{2}", 'root ::= "<" .{2} ">" .*', ["<ab>", "<ab>cd\nef"], ["<a>", "<abc>"]],
    [
      "names that begin with digits and dashes",
      'root ::= 1st -x _y\n1st ::= "a"\n-x ::= "b"\n_y ::= "c"',
      ["abc"],
      ["ab"],
    ],
    ["names that differ in little", 'root ::= x _x\nx ::= "a"\n_x ::= "b"', ["ab"], ["ba"]],
    ["a space in front of a repetition", 'root ::= "a" + [bc] {2} ("d") ?', ["abc", "aabbd"], ["bc", "ab", "abcdd"]],
    [
      "{m}, {m,}, {m,n}, {0,n}",
      'root ::= "a"{2} "b"{1,} "c"{1,2} "d"{0,1}',
      ["aabc", "aabbbccd"],
      ["abc", "aac", "aabcccd"],
    ],
    [
      "repetitions of repetitions",
      'root ::= "a"** "b"?* ("c" "d")+? "e"?+',
      ["", "aabb", "cdcd", "aabcdee"],
      ["ba", "c"],
    ],
    ["?? and ++", 'root ::= "a"?? "b"++', ["b", "abb"], ["aab", "a"]],
    [
      "counted repetitions of repetitions",
      'root ::= "a"{2}{3} ("b" | "c"){2}+ "d"*{2}',
      ["aaaaaabc", "aaaaaabcbbdd"],
      ["aabc", "aaaaaab"],
    ],
    ["a repetition of a whole text", 'root ::= "ab"+', ["ab", "abab"], ["abb", "a"]],
    ["negated and escaped classes", String.raw`root ::= [^\n"] [\]\-a] [^^]`, ["a]b", "é-\n"], ["\n]b", '"ab', "aa^"]],
    ["a dash at the end of a class", "root ::= [a-c-] [+-]", ["-+", "b-"], ["d+", "ab"]],
    ["hexadecimal escapes", String.raw`root ::= "\x41\u00e9\U0001F98A" [\x30-\x39]`, ["Aé🦊7"], ["Aé🦊x"]],
    ["escapes of texts", String.raw`root ::= "\t\r\n\\\"\[\]"`, ['\t\r\n\\"[]'], ["t"]],
    ["an empty alternative", 'root ::= "a" ( | "b")', ["a", "ab"], ["b", ""]],
    ["alternatives on lines of their own, with comments", 'root ::= # one\n  "a" | # two\n  "b"', ["a", "b"], ["ab"]],
    ["# and ] within texts and classes", 'root ::= "#]" [#] # the end', ["#]#"], ["#]"]],
    ["recursion", 'root ::= "(" root? ")"', ["()", "((()))"], ["(()", ")("]],
    [
      "JSON",
      JSON_OBJECT,
      ['{"a": [1, -2.5e-3, null], "b\\u00e9\\n": {"c": "d"}}', "{ }"],
      ['{"a"}', "[1]", '{"a":"\n"}'],
    ],
  ])("%s", async (_, grammar, good, bad) => {
    const compiled = await grammars.ebnf(gbnfToEbnf(grammar));
    for (const text of good) expect([text, await accepts(compiled, text, tokenizer)]).toEqual([text, true]);
    for (const text of bad) expect([text, await accepts(compiled, text, tokenizer)]).toEqual([text, false]);
  });

  it("one of a list of texts, whatever is in them", async () => {
    const choices = ["yes", "no way", 'a "quoted" \\ one', "line\nbreak", "[é]🦊", ""];
    const compiled = await grammars.ebnf(choicesToEbnf(choices));
    for (const text of choices) expect([text, await accepts(compiled, text, tokenizer)]).toEqual([text, true]);
    for (const text of ["y", "yesno way", "quoted"]) expect(await accepts(compiled, text, tokenizer)).toBe(false);
  });
});

describe("what is refused", () => {
  it.each([
    ["", /root/],
    ['a ::= "x"', /root/],
    ["root ::= b", /`b`.*not defined/],
    ["root = a", /line 1, column 5: expected ::=/],
    ['root ::= "a', /line 1, column 12: a text that does not end/],
    ["root ::= [a", /a class that does not end/],
    ['root ::= ("a"\nb ::= "c"', /expected/],
    ['root ::= "a")', /\) without a \(/],
    ["root ::= * a", /something to repeat in front of \*/],
    ["root ::= 'a'", /line 1, column 10: expected a text/],
    ["root ::= <think>", /tokens of the vocabulary/],
    ["root ::= !<[5]>", /tokens of the vocabulary/],
    [String.raw`root ::= "\d"`, /the escape \\d/],
    [String.raw`root ::= "\ud800"`, /no character/],
    ['root ::= root "a"', /left recursion/],
    [`root ::= ${"a".repeat(70_000)}`, /more than 64 KiB/],
    ["root ::= [z-a]", /end is before its start/],
  ])("%j", async (grammar, message) => {
    await expect((async () => grammars.ebnf(gbnfToEbnf(grammar)))()).rejects.toThrow(message);
  });
});
