// The memory of answers: what counts as the same text, what does not, and its bounds.

import { beforeAll, describe, expect, it } from "vitest";
import { type ChatConventions, openChat } from "../../src/chat/conventions.ts";
import type { AssistantMessage, ChatMessage } from "../../src/chat/types.ts";
import { Recall } from "../../src/engine/recall.ts";
import type { Tokenizer } from "../../src/tokenizer/types.ts";
import { FAMILIES } from "../server/agent_families.ts";
import { sampledIds } from "../server/scripted_engine.ts";
import { tokenizerOf } from "../tokenizer/support.ts";
import { memoryFiles } from "../weights/memory_files.ts";

const tools = [{ name: "f", parameters: { type: "object" } }, { name: "g" }] as const;
const question: ChatMessage = { role: "user", content: "What is it?" };
const called = (args: string, more: Partial<AssistantMessage> = {}): AssistantMessage => ({
  role: "assistant",
  content: "I look.",
  reasoning: "It is small.",
  toolCalls: [{ id: "abcdefghi", name: "f", arguments: args }],
  ...more,
});
const result: ChatMessage = { role: "tool", toolCallId: "abcdefghi", content: "1" };

let tokenizer: Tokenizer;
let chat: ChatConventions;
beforeAll(async () => {
  const { files, template } = FAMILIES.find(({ name }) => name === "Qwen3")!;
  tokenizer = await tokenizerOf(files);
  chat = await openChat(memoryFiles({ "chat_template.jinja": template! }), tokenizer);
});

const answerOf = (body: string): number[] => sampledIds(tokenizer, `<think>\nIt is small.\n</think>\n\n${body}`);
const callOf = (args: string): string => `I look.\n\n<tool_call>\n{"name":"f","arguments":${args}}\n</tool_call>`;
const SAMPLED = '{"a":1.0,"b":{"2":[1,"\\u00fc"],"1":9007199254740993}}';

/** Whether the message is shown by the ids of the answer `sampled`. */
function recalls(message: AssistantMessage, sampled = callOf(SAMPLED)): boolean {
  const prompt = chat.prompt([question], { tools });
  const answer = answerOf(sampled);
  const recall = new Recall({ conventions: chat, tokenizer });
  recall.remember(prompt, answer);
  const next = message.toolCalls ? result : { role: "user" as const, content: "And now?" };
  const rendered = chat.prompt([question, message, next], { tools });
  const restored = recall.restore(rendered, { tools });
  const found = answer.every((id, i) => restored[prompt.length + i] === id);
  if (!found) expect(restored).toEqual(rendered);
  // What follows the answer is as it was rendered.
  expect(restored.slice(-20)).toEqual(rendered.slice(-20));
  return found;
}

describe("an answer that comes back", () => {
  it.each<[string, AssistantMessage]>([
    ["as it was", called(SAMPLED)],
    ["with spaces", called('{"a": 1.0, "b": {"2": [1, "ü"], "1": 9007199254740993}}')],
    ["in another order", called('{"b":{"1":9007199254740993,"2":[1,"ü"]},"a":1.0}')],
    ["with a number written otherwise", called('{"a":1,"b":{"2":[1,"ü"],"1":9007199254740993}}')],
    ["with line ends around its text", called(SAMPLED, { content: "I look.\n" })],
  ])("%s has its own tokens", (_, message) => expect(recalls(message)).toBe(true));

  it.each<[string, AssistantMessage]>([
    ["another value", called(SAMPLED.replace("1.0", "2.0"))],
    ["a number that a double cannot tell apart", called(SAMPLED.replace("993", "992"))],
    ["a text for a number", called(SAMPLED.replace("1.0", '"1.0"'))],
    ["a list in another order", called(SAMPLED.replace('[1,"\\u00fc"]', '["ü",1]'))],
    ["one member more", called(SAMPLED.replace("{", '{"c":null,'))],
    ["one member less", called('{"a":1.0}')],
    ["another tool", called(SAMPLED, { toolCalls: [{ id: "abcdefghi", name: "g", arguments: SAMPLED }] })],
    ["another text", called(SAMPLED, { content: "I looked." })],
    ["no text", called(SAMPLED, { content: "" })],
    ["other reasoning", called(SAMPLED, { reasoning: "It is big." })],
    ["no reasoning", called(SAMPLED, { reasoning: "" })],
    ["its marks as text", { role: "assistant", content: `I look.\n\n${callOf("{}")}`, reasoning: "It is small." }],
  ])("with %s has the tokens that the template gives", (_, message) => expect(recalls(message)).toBe(false));

  it("may be a text alone", () => {
    expect(recalls({ role: "assistant", content: "It is a bear." }, "It is a bear.")).toBe(false); // not its reasoning
    const prompt = chat.prompt([question]);
    const recall = new Recall({ conventions: chat, tokenizer });
    const answer = sampledIds(tokenizer, "It is a bear, and it sleeps.");
    recall.remember(prompt, answer);
    const said = { role: "assistant", content: "It is a bear, and it sleeps." } as const;
    const restored = recall.restore(chat.prompt([question, said, question]), {});
    expect(restored.slice(prompt.length, prompt.length + answer.length)).toEqual(answer);
  });

  it("is found behind each other one, and as the one of several that it is", () => {
    const recall = new Recall({ conventions: chat, tokenizer });
    const messages: ChatMessage[] = [question];
    for (const args of ['{"a":1}', '{"a":2}', '{"a":3}']) {
      const prompt = recall.restore(chat.prompt(messages, { tools }), { tools });
      for (const other of ['{"a":7}', args, '{"a":8}']) recall.remember(prompt, answerOf(callOf(other)));
      messages.push(called(args), result);
    }
    const restored = recall.restore(chat.prompt(messages, { tools }), { tools });
    const text = restored.join();
    for (const args of ['{"a":1}', '{"a":2}', '{"a":3}']) expect(text).toContain(answerOf(callOf(args)).join());
    for (const args of ['{"a":7}', '{"a":8}']) expect(text).not.toContain(answerOf(callOf(args)).join());
  });
});

describe("the memory", () => {
  it("never holds more than a million ids, and forgets what was used least recently", () => {
    const recall = new Recall({ conventions: chat, tokenizer });
    const long = Array.from({ length: 50_000 }, (_, i) => 300 + (i % 1000));
    for (let i = 0; i < 40; i++) {
      recall.remember([i], long);
      expect(recall.size).toBeLessThanOrEqual(2 ** 20);
    }
    expect(recall.size).toBe(Math.floor(2 ** 20 / 50_000) * 50_000);
    recall.remember([41], Array(2 ** 21).fill(5)); // more than all: left out
    expect(recall.size).toBe(Math.floor(2 ** 20 / 50_000) * 50_000);
  });

  it("holds eight answers to one prompt, each once", () => {
    const recall = new Recall({ conventions: chat, tokenizer });
    for (let i = 0; i < 20; i++) for (let k = 0; k < 2; k++) recall.remember([1, 2], [i, i, i]);
    expect(recall.size).toBe(24);
  });

  it("looks no further for an answer's end than a few times its length", () => {
    const prompt = chat.prompt([question], { tools });
    const recall = new Recall({ conventions: chat, tokenizer });
    recall.remember(prompt, answerOf(callOf("{}")));
    const other: ChatMessage = { role: "assistant", content: "bear ".repeat(20_000) };
    const rendered = chat.prompt([question, other, question], { tools });
    expect(recall.restore(rendered, { tools })).toEqual(rendered);
  });
});
