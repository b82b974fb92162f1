// Calls as Python writes them, read and written.

import { expect, it } from "vitest";
import { pythonCall, pythonCalls } from "../../src/chat/python_calls.ts";

const read = (text: string) => pythonCalls(text)?.map(({ name, arguments: json }) => [name, JSON.parse(json)]) ?? null;

it.each<[string, unknown]>([
  ["[f()]", [["f", {}]]],
  ["f(a=1)", [["f", { a: 1 }]]],
  [
    "[f(a=1, b=-2.5e3,), g.h(c='x')]",
    [
      ["f", { a: 1, b: -2500 }],
      ["g.h", { c: "x" }],
    ],
  ],
  [
    "[f(a=[1, 'x', None], b={'k': True, \"m\": {}}, c=(1, 2), d=false)]",
    [["f", { a: [1, "x", null], b: { k: true, m: {} }, c: [1, 2], d: false }]],
  ],
  [String.raw`[f(a='it\'s \n \x41é \q', b="say \"x\" 'y'")]`, [["f", { a: "it's \n Aé \\q", b: "say \"x\" 'y'" }]]],
  ["[f(a='''two\nlines''')]", [["f", { a: "two\nlines" }]]],
  [
    "[ f( a = 1 ) , f(a=')],') ]",
    [
      ["f", { a: 1 }],
      ["f", { a: ")]," }],
    ],
  ],
  ["[]", []],
])("reads %j", (text, calls) => {
  expect(read(text)).toEqual(calls);
});

it.each(["", "text", "[f(1)]", "[f(a=x)]", "[f(a=1]", "[f(a='x)]", "[f(a=01)]", "f(a=1) g()", `f(a=${"[".repeat(99)}`])(
  "%j is none",
  (text) => {
    expect(pythonCalls(text)).toBeNull();
  },
);

it("writes what it reads", () => {
  const text = '{"a": "b\\"c\\n", "n": 1.0, "on": true, "of": [null, {"x": false}]}';
  expect(read(pythonCall("f", text))).toEqual([["f", JSON.parse(text)]]);
  expect(pythonCall("f", "[1]")).toBe("f()");
});
