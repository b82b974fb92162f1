// The page's parts that need no browser: streams, trees of messages, files, tokens, Markdown.

import { describe, expect, it } from "vitest";
import {
  branchOf,
  type Node,
  newConversation,
  openCalls,
  showing,
  siblingsOf,
  withNode,
} from "../../src/page/chat/conversation.ts";
import { requestOf } from "../../src/page/chat/requests.ts";
import { formatOf, PLAIN, SettingsError, toolsOf } from "../../src/page/chat/settings.ts";
import { chosenInstead, percent, tokensToTheEnd, withoutEndText } from "../../src/page/chat/token_choice.ts";
import { exported, ImportError, imported } from "../../src/page/chat/transfer.ts";
import { BlockReader } from "../../src/page/markdown/blocks.ts";
import { piecesOf } from "../../src/page/markdown/pieces.ts";
import { safeLink, withCharacters } from "../../src/page/markdown/safe_link.ts";
import { chatEvents, completionEvents, factsOf, rulesOf } from "../../src/page/remote/reading.ts";
import { serverEvents } from "../../src/page/remote/sse.ts";

describe("server-sent events", () => {
  const eventsOf = async (...pieces: readonly (string | Uint8Array)[]) => {
    const encoder = new TextEncoder();
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const piece of pieces) controller.enqueue(typeof piece === "string" ? encoder.encode(piece) : piece);
        controller.close();
      },
    });
    const read: string[] = [];
    for await (const { name, data } of serverEvents(body)) read.push(`${name}=${data}`);
    return read;
  };
  const cases: [string, (string | Uint8Array)[], string[]][] = [
    ["whole", ["data: a\n\ndata: b\n\n"], ["message=a", "message=b"]],
    ["in pieces", ["da", "ta: a\n", "\ndata:", " b\n\n"], ["message=a", "message=b"]],
    ["other line ends, cut in two", ["data: a\r", "\n\r", "\ndata: b\r\n\r\n"], ["message=a", "message=b"]],
    ["names, comments, several lines", [": ping\n\nevent: x\ndata: 1\ndata: 2\nid: 7\n\n"], ["x=1\n2"]],
    [
      "a character in two pieces",
      [Uint8Array.of(100, 97, 116, 97, 58, 32, 0xc3), Uint8Array.of(0xa4, 10, 10)],
      ["message=\u00e4"],
    ],
    ["an end within an event", ["data: a\n\ndata: b"], ["message=a"]],
    ["nothing", [""], []],
  ];
  it.each(cases)("%s", async (_, pieces, expected) => {
    expect(await eventsOf(...pieces)).toEqual(expected);
  });
});

describe("chunks of an answer", () => {
  const token = (text: string) => ({ token: text, bytes: [...new TextEncoder().encode(text)], logprob: -1 });
  const share = (text: string) => ({ text, bytes: [...new TextEncoder().encode(text)], logprob: -1 });
  const cases: [string, unknown, unknown[]][] = [
    ["text", { choices: [{ delta: { content: "a" } }] }, [{ type: "text", text: "a" }]],
    ["reasoning", { choices: [{ delta: { reasoning_content: "a" } }] }, [{ type: "reasoning", text: "a" }]],
    [
      "tokens",
      {
        choices: [{ delta: { content: "a" }, logprobs: { content: [{ ...token("a"), top_logprobs: [token("b")] }] } }],
      },
      [{ type: "text", text: "a", tokens: [{ ...share("a"), top: [share("b")] }] }],
    ],
    [
      "a call",
      { choices: [{ delta: { tool_calls: [{ id: "1", function: { name: "f", arguments: "{}" } }] } }] },
      [{ type: "call", call: { id: "1", name: "f", arguments: "{}" } }],
    ],
    [
      "the end",
      { choices: [{ delta: {}, finish_reason: "stop" }], usage: { prompt_tokens: 3, completion_tokens: 2 } },
      [
        { type: "finish", reason: "stop" },
        { type: "usage", usage: { promptTokens: 3, cachedTokens: 0, answerTokens: 2 } },
      ],
    ],
    ["what is no chunk", null, []],
    [
      "wrong types",
      { choices: [7, { delta: "x", logprobs: [] }, { delta: { content: 7, tool_calls: {} } }], usage: 7 },
      [],
    ],
  ];
  it.each(cases)("%s", (_, chunk, expected) => {
    expect(chatEvents(chunk)).toEqual(expected);
  });

  it("of the legacy API: four arrays, bytes spelled", () => {
    const logprobs = {
      tokens: ["a", "bytes:\\xf0\\x9f"],
      token_logprobs: [-1, -2],
      top_logprobs: [{ x: -3, a: -1 }, null],
    };
    const [event] = completionEvents({ choices: [{ text: "a", logprobs }] });
    expect(event).toEqual({
      type: "text",
      text: "a",
      tokens: [
        { text: "a", bytes: [97], logprob: -1, top: [share("a"), { ...share("x"), logprob: -3 }] },
        { text: "\\xf0\\x9f", bytes: [0xf0, 0x9f], logprob: -2, top: [] },
      ],
    });
  });

  it("cards and rules, whatever the server says", () => {
    expect(factsOf({ id: "m", context: 5 })).toMatchObject({ id: "m", state: "ready", context: 5 });
    expect(factsOf({ id: 7, state: "odd" })).toMatchObject({ id: "", state: "ready" });
    const rule = { name: "top_p", min: 0, max: 1, default: 1, integer: false };
    expect(rulesOf({ parameters: [rule, { ...rule, name: "__proto__" }, 7] })).toEqual([rule]);
  });
});

let count = 0;
const node = (parent: Node | null, role: "user" | "assistant", content: string, more: Partial<Node> = {}): Node => ({
  id: `n${++count}`,
  parent: parent?.id ?? null,
  created: 1,
  message: { role, content },
  ...more,
});

describe("a conversation", () => {
  it("keeps every branch, and shows the one that was written last", () => {
    const ask = node(null, "user", "Why?\nBecause");
    const [one, two] = [node(ask, "assistant", "1"), node(ask, "assistant", "2")];
    const more = node(one, "user", "more");
    let tree = [ask, one, more, two].reduce(withNode, newConversation("chat", PLAIN));
    expect(tree.title).toBe("Why?");
    expect(branchOf(tree)).toEqual([ask, two]);
    expect(siblingsOf(tree, two)).toEqual([one, two]);
    tree = showing(tree, one.id);
    expect(branchOf(tree)).toEqual([ask, one, more]);
    expect(branchOf(withNode(tree, node(null, "user", "other"))).length).toBe(1);
  });

  it("waits for results of calls", () => {
    const calls = [{ id: "a", name: "f", arguments: "{}" }];
    const call = node(null, "assistant", "", { message: { role: "assistant", content: "", calls } });
    const result = node(call, "user", "", { message: { role: "tool", callId: "a", content: "1" } });
    expect(openCalls([call])).toEqual(calls);
    expect(openCalls([call, result])).toEqual([]);
    expect(openCalls([call, result, node(result, "assistant", "x")])).toEqual([]);
    expect(openCalls([call, result, { ...call, id: "later", parent: result.id }])).toEqual(calls);
  });

  it("becomes a request", () => {
    const branch = [node(null, "user", "hi")];
    const settings = { ...PLAIN, system: "Be kind.", stop: ["x"], sampling: { top_k: 3 }, tools: '[{"name":"f"}]' };
    expect(requestOf({ kind: "chat", settings }, branch, "m").request).toEqual({
      model: "m",
      sampling: { top_k: 3, stop: ["x"] },
      messages: [
        { role: "system", content: "Be kind." },
        { role: "user", content: "hi" },
      ],
      tools: [{ name: "f" }],
    });
    const text = requestOf({ kind: "text", settings }, [...branch, node(null, "assistant", " there")], "m").request;
    expect(text).toMatchObject({ prompt: "hi there", sampling: { max_tokens: 256 } });
  });

  it.each([
    ["tools", "{", /^Tools: this is not JSON/],
    ["tools", "{}", /^Tools: expected a JSON list/],
    ["tools", "[7]", /number 1 has no "name"/],
    ["formatText", "{", /^Answer format: the schema: this is not JSON/],
    ["formatText", " ", /the JSON schema is empty/],
  ])("says what is wrong with %s %s", (field, text, message) => {
    const settings = { ...PLAIN, format: "json_schema" as const, formatText: "{}", [field]: text };
    const read = () => [toolsOf(settings), formatOf(settings)];
    expect(read).toThrow(SettingsError);
    expect(read).toThrow(message);
  });
});

describe("another token", () => {
  const share = (...bytes: number[]) => ({ text: "t", bytes, logprob: -1 });
  const tokens = [share(97), share(0xc3), share(0xa4)].map((one) => ({ ...one, top: [] }));
  const answer = node(null, "assistant", "> a\u00e4", { tokens, tokensFrom: 2 });
  it.each([
    [0, share(98), "> b"],
    [2, share(0xb6), "> a\u00f6"],
    [1, share(0xc3), null],
    [9, share(98), null],
    [1, share(), "> a"],
  ])("in place %i: %j", (at, choice, content) => {
    expect(chosenInstead(answer, at, choice)?.message.content ?? null).toBe(content);
  });

  it("ends where the name of the end token is no part of the text", () => {
    const named = (text: string) => ({ text, bytes: [...new TextEncoder().encode(text)], logprob: -1 });
    const place = (text: string, ...top: string[]) => ({ ...named(text), top: top.map(named) });
    const all = [place("a", "b", "</s>"), place("</s>", "</s>", "c")];
    const lengths = (text: string) =>
      withoutEndText(all, text).map(({ bytes, top }) =>
        [bytes, ...top.map((one) => one.bytes)].map((one) => one.length),
      );
    expect(lengths("a")).toEqual([
      [1, 1, 0],
      [0, 0, 1],
    ]);
    expect(withoutEndText(all, "a</s>")).toBe(all);
  });

  it("counts only tokens that say the text", () => {
    expect(tokensToTheEnd(answer)).toEqual(tokens);
    expect(tokensToTheEnd({ ...answer, tokensFrom: 0 })).toEqual([]);
    expect(percent(0)).toBe("100 %");
    expect(percent(-100)).toBe("< 0.1 %");
  });
});

describe("files of conversations", () => {
  const ask = node(null, "user", "hi");
  const whole = [ask, node(ask, "assistant", "ho", { end: { model: "m", reason: "stop" } })].reduce(
    withNode,
    newConversation("chat", { ...PLAIN, sampling: { seed: 7 } }),
  );

  it("come back as they were, under new ids", () => {
    const [back] = imported(exported([whole]));
    expect(back!.id).not.toBe(whole.id);
    expect(branchOf(back!).map(({ message, end }) => ({ message, end }))).toEqual(
      branchOf(whole).map(({ message, end }) => ({ message, end })),
    );
    expect(back!.settings).toEqual(whole.settings);
    expect([...back!.nodes.keys()].some((id) => whole.nodes.has(id))).toBe(false);
  });

  const file = JSON.parse(exported([whole])) as { conversations: Record<string, unknown>[] };
  const altered = (more: object) => JSON.stringify({ ...file, conversations: [{ ...file.conversations[0], ...more }] });
  const bare = { id: "a", parent: null, created: 1, message: { role: "user", content: "x" } };
  it.each([
    ["no JSON", "<script>alert(1)</script>", /not JSON/],
    ["another file", "{}", /format: expected hotset-conversations/],
    ["a later version", JSON.stringify({ ...file, version: 2 }), /version: expected 1/],
    ["nodes that are no list", altered({ nodes: { length: 1e9 } }), /nodes: expected a list/],
    ["a parent that is not there", altered({ nodes: [{ ...bare, parent: "b" }] }), /nodes\[0\].parent/],
    ["a circle", altered({ nodes: [{ ...bare, parent: "a" }] }), /nodes\[0\].parent/],
    ["an id twice", altered({ nodes: [bare, bare] }), /nodes\[1\].id/],
    ["another role", altered({ nodes: [{ ...bare, message: { role: "root", content: "" } }] }), /role: expected/],
    [
      "markup as an object",
      altered({ nodes: [{ ...bare, message: { role: "user", content: { __html: "x" } } }] }),
      /content: expected a text/,
    ],
    ["a vnode", altered({ title: { type: "img", props: {} } }), /title: expected a text/],
    ["a number that is none", altered({ created: "1" }), /created: expected a number/],
    ["another kind", altered({ kind: "x" }), /kind: expected chat or text/],
    ["sampling of texts", altered({ settings: { sampling: { seed: "1" } } }), /sampling.seed: expected a number/],
  ])("refuses %s, and says where", (_, text, message) => {
    expect(() => imported(text)).toThrow(ImportError);
    expect(() => imported(text)).toThrow(message);
  });

  it("takes nothing from names of prototypes", () => {
    const text = altered({
      nodes: [
        { ...bare, id: "__proto__" },
        { ...bare, id: "b", parent: "__proto__" },
      ],
    }).replace('"sampling":{', '"sampling":{"__proto__":{"temperature":9},');
    const [back] = imported(text);
    expect(back!.nodes.size).toBe(2);
    expect(back!.settings.sampling).toEqual({ seed: 7 });
    expect(({} as { temperature?: number }).temperature).toBeUndefined();
  });
});

describe("Markdown", () => {
  it.each([
    ["https://example.com/a", "https://example.com/a"],
    ["HTTP://example.com", "http://example.com/"],
    ["mailto:a@b.c", "mailto:a@b.c"],
    ["javascript:alert(1)", null],
    ["JaVaScRiPt:alert(1)", null],
    [" javascript:alert(1)", null],
    ["java\nscript:alert(1)", null],
    ["data:text/html,<script>alert(1)</script>", null],
    ["vbscript:x", null],
    ["file:///etc/passwd", null],
    ["blob:http://localhost/x", null],
    ["//example.com", null],
    ["/v1/models", null],
    ["?x", null],
    ["https://user:pass@example.com", null],
    ["https://", null],
  ])("link %s: %s", (href, expected) => {
    expect(safeLink(href)).toBe(expected);
  });

  it("resolves references to characters once", () => {
    expect(withCharacters("&lt;b&gt; &amp;lt; &#65;&#x42; &#0; &nope; &#99999999;")).toBe(
      "<b> &lt; AB &#0; &nope; &#99999999;",
    );
  });

  const text = "# a\n\npara *x*\n\n- one\n- two\n\n  more\n\n```js\nlet a\n\nlet b\n```\n\n| a |\n|---|\n| b |\n\nend";
  it("gives the same blocks whether read at once or as it grows", () => {
    const raws = (reader: BlockReader, part: string) => reader.read(part)!.map(({ type, raw }) => [type, raw.trim()]);
    const growing = new BlockReader();
    for (let i = 0; i < text.length; i++)
      expect(raws(growing, text.slice(0, i))).toEqual(raws(new BlockReader(), text.slice(0, i)));
    expect(raws(growing, "other")).toEqual([["paragraph", "other"]]);
  });

  it.each([
    ["stars", "*a ".repeat(2000)],
    ["underscores", "a_".repeat(20_000)],
    ["brackets", "[a](".repeat(8000)],
    ["quotes", `${"> ".repeat(3000)}a`],
    ["lists", Array.from({ length: 400 }, (_, i) => `${" ".repeat(i * 2)}- a`).join("\n")],
    ["length", "a".repeat(100_000)],
  ])("%s without end are shown as they are", (_, hard) => {
    expect(new BlockReader().read(hard)).toBeNull();
  });
});

describe("long texts in pieces", () => {
  const lines = Array.from({ length: 3000 }, (_, i) => `line ${i}`).join("\n");
  it.each([
    ["short", "a\nb", "a\nb"],
    ["lines", lines, lines],
    ["one line", "x".repeat(20_000), `${"x".repeat(8000)}\n${"x".repeat(8000)}\n${"x".repeat(4000)}`],
    ["empty lines", "\n".repeat(20_000), "\n".repeat(20_000)],
  ])("%s: all of it", (_, text, shown) => {
    expect(piecesOf(text).join("\n")).toBe(shown);
    expect(Math.max(...piecesOf(text).map(({ length }) => length))).toBeLessThanOrEqual(8000);
  });

  it("no character is cut, and what is there stays while the text grows", () => {
    const text = `x${"\u{1F600}".repeat(10_000)}`;
    for (const piece of piecesOf(text)) expect(encodeURIComponent(piece)).toBeTruthy(); // throws for a half
    const before = piecesOf(lines).slice(0, -1);
    expect(piecesOf(`${lines} and more`).slice(0, before.length)).toEqual(before);
  });
});
